"""Transfers over a real sshd with a real rsync: staging, fetching, and every way in which they fail."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from datastore.agent.events import FetchFailed, ResultsFetched
from tests.worlds import ssh_server
from tests.worlds.digests import digest
from tests.worlds.ssh_server import SshServer
from tests.worlds.ssh_transfers import World
from wire.messages import StageDone, StageFailed

server = ssh_server.server
pytestmark = pytest.mark.needs("sshd", "ssh", "rsync", "useradd")


@pytest.fixture
def world(server: SshServer, tmp_path: Path) -> Iterator[World]:
    made = World(server, tmp_path)
    yield made
    made.close()


def test_inputs_arrive_in_the_cache_under_their_digests_and_only_once(world: World) -> None:
    network, rules = world.write("net works/net '1'.inp", b"[TITLE]" * 1000), world.write("-rules", b"")
    first, second = world.stage([network, rules], [network])
    assert isinstance(first, StageDone) and isinstance(second, StageDone)
    assert first.inputs == [network, rules] and second.inputs == [network]
    assert first.bytes_moved >= 7000 and second.bytes_moved == 0
    cached = world.cache / digest(b"[TITLE]" * 1000)[3:]
    assert cached.read_bytes() == b"[TITLE]" * 1000 and stat.S_IMODE(cached.stat().st_mode) == 0o644
    assert sorted(path.name for path in world.cache.iterdir()) == sorted([network.digest[3:], rules.digest[3:]])
    (again,) = world.stage([network, rules])
    assert isinstance(again, StageDone) and again.bytes_moved == 0
    assert world.server.logins() == 1
    assert list((world.tree.root / ".ecloud" / "outgoing").iterdir()) == []


def test_a_missing_input_fails_its_own_attempt_only(world: World) -> None:
    there = world.write("there", b"x")
    gone = msgspec.structs.replace(there, name="gone", digest=digest(b"gone"))
    failed, done = world.stage([there, gone], [there])
    assert isinstance(failed, StageFailed) and failed.fault == "input" and "'gone'" in failed.reason
    assert isinstance(done, StageDone)


def test_results_of_many_attempts_come_with_one_rsync_whatever_their_names(world: World) -> None:
    names = [
        "a b.csv",
        "empty",
        "deep/er/'quoted' \"twice\"",
        "new\nline",
        "-dash",
        "*[x]?",
        "back\\slash",
        "ü\u0308",
        "#c",
    ]
    names.append("l" * 255)
    files = {name: name.encode() if name != "empty" else b"" for name in names}
    jobs = [world.attempt(task, files) for task in range(1, 6)]
    answers = world.fetch(*jobs)
    assert answers == {task: ResultsFetched((task, 1)) for task in range(1, 6)}
    for task in range(1, 6):
        assert world.incoming(task) == {str(number): files[name] for number, name in enumerate(names)}
    assert world.server.logins() == 1
    assert "from-w1" not in world.left()


def test_results_may_all_be_empty_or_none_at_all(world: World) -> None:
    jobs = [world.attempt(1, {"a": b"", "b": b""}), world.attempt(2, {})]
    assert world.fetch(*jobs) == {task: ResultsFetched((task, 1)) for task in (1, 2)}
    assert world.incoming(1) == {"0": b"", "1": b""} and world.incoming(2) == {}
    assert world.left() == ["0", "1", "1.1", "2.1"]


def test_one_file_may_be_wanted_under_two_names_and_modes_are_what_was_said(world: World) -> None:
    job = world.attempt(1, {"run.sh": b"#!/bin/sh\n"})
    other = msgspec.structs.replace(job.files[0], target="bin/run.sh", executable=True)
    job = msgspec.structs.replace(job, files=[job.files[0], other])
    os.chmod(world.work(1) / "run.sh", 0o4777)
    assert world.fetch(job) == {1: ResultsFetched((1, 1))}
    folder = world.tree.root / ".ecloud" / "incoming" / "i1" / "1.1"
    assert [stat.S_IMODE((folder / name).stat().st_mode) for name in ("0", "1")] == [0o644, 0o755]
    assert (folder / "0").stat().st_nlink == 1


def test_a_missing_or_unreadable_result_fails_its_own_attempt_and_leaves_nothing(world: World) -> None:
    gone, locked, fine = (world.attempt(task, {"a": b"a", "b": b"b"}) for task in (1, 2, 3))
    (world.work(1) / "b").unlink()
    (world.work(2) / "b").chmod(0)
    answers = world.fetch(gone, locked, fine)
    for task in (1, 2):
        answer = answers[task]
        assert isinstance(answer, FetchFailed) and answer.fault == "result" and "'b'" in answer.reason
    assert answers[3] == ResultsFetched((3, 1))
    assert world.left() == ["0", "1", "3.1"]


def test_many_rejections_of_small_results_are_no_lie_of_the_host(world: World) -> None:
    job = world.attempt(1, {f"{'n' * 200}{number}": b"x" for number in range(100)})
    for path in world.work(1).iterdir():
        path.unlink()
    assert world.failure(job).fault == "result"


def test_another_host_key_is_reported_and_nothing_is_sent(world: World) -> None:
    world.server.change_host_key()
    (answer,) = world.stage([world.write("secret", b"x")])
    assert isinstance(answer, StageFailed) and answer.fault == "host"
    assert "127.0.0.1" in answer.reason and "'w1'" in answer.reason
    assert world.failure(world.attempt(1, {"a": b"a"})).fault == "host"
    assert list(world.cache.iterdir()) == []


def test_a_host_that_is_not_there_is_reported_with_its_address_and_tried_again(world: World) -> None:
    job = world.attempt(1, {"a": b"a"})
    world.server.stop()
    failed = world.failure(job)
    assert failed.fault == "transfer" and f"127.0.0.1 port {world.server.port}" in failed.reason
    assert "refused" in failed.reason
    world.server.start()
    assert world.fetch(job) == {1: ResultsFetched((1, 1))}


def test_a_key_that_is_refused_is_named_with_the_user(world: World) -> None:
    (world.server.own / "authorized").write_text("")
    failed = world.failure(world.attempt(1, {"a": b"a"}))
    assert failed.fault == "transfer" and str(world.server.key) in failed.reason and world.server.user in failed.reason
