"""The fault table of docs/data.md, a test each: real datastore program, real sshd and rsync, and what it says.

Each fault is retried or failed by the rule stated there, with a sentence that names host, path and cause; and what has
nothing to do with it goes on.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.data_world import DataWorld, data_world, links, mosquitto
from tests.worlds import waiting
from wire.messages import Abandoned, Published, StageDone, StageFailed

__all__ = ["data_world", "links", "mosquitto"]
pytestmark = [pytest.mark.needs("mosquitto", "sshd", "ssh", "rsync"), pytest.mark.timeout(120)]

#: Shorter pauses between tries than users want.
QUICK = {"ECLOUD_TRANSFER_RETRY_SECONDS": "0.3", "ECLOUD_TRANSFER_DISK_RETRY_SECONDS": "0.5"}


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path, int], Path]]:
    """Mounts a disk of so many megabytes there."""
    if os.geteuid() != 0:
        pytest.fail("this test mounts a small tmpfs: run it as root")
    with ExitStack() as mounted:

        def mount(place: Path, megabytes: int) -> Path:
            place.mkdir(mode=0o755, parents=True, exist_ok=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", place], check=True)
            mounted.callback(subprocess.run, ["umount", "-l", place], check=True)
            return place

        yield mount


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Polls often: it may be over soon."""
    waiting.wait_for(condition, what, every=0.001)


def enlarge(place: Path, megabytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={megabytes}m", place], check=True)


def transfers_well(data_world: DataWorld, host: object) -> None:
    """One file each way, to show that nothing is left of what happened."""
    out, back = data_world.stage(host, b"well"), data_world.collect(host, {"well": b"well"})  # type: ignore[arg-type]
    assert isinstance(data_world.answer(out), StageDone)
    assert isinstance(data_world.answer(back), Published)


# -- connection refused ------------------------------------------------------------------------------


def test_results_behind_a_refused_connection_are_fetched_when_the_host_answers_again(data_world: DataWorld) -> None:
    data_world.start(**QUICK)
    host, other = data_world.host("w1"), data_world.host("w2")
    host.server.stop()
    task = data_world.collect(host, {"r": b"result"})
    wait_for(lambda: "refused" in data_world.world.log(), "the first try failed")
    host.server.start()
    assert isinstance(data_world.answer(task), Published)
    assert data_world.published(task, "r") == b"result"
    transfers_well(data_world, other)


def test_a_connection_that_stays_refused_ends_the_attempt_as_lost_with_host_path_and_cause(
    data_world: DataWorld,
) -> None:
    data_world.start(**QUICK)
    host, other = data_world.host("w1"), data_world.host("w2")
    host.server.stop()
    staged, collected = data_world.stage(host, b"input"), data_world.collect(host, {"r": b"result"})
    transfers_well(data_world, other)
    failed, abandoned = data_world.answer(staged), data_world.answer(collected)
    assert isinstance(failed, StageFailed) and failed.fault == "transfer"
    assert isinstance(abandoned, Abandoned) and abandoned.fault == "transfer"
    for said in (failed.reason, abandoned.reason):
        assert host.where in said and "refused" in said and str(host.home) in said, said
    assert "3 tries" in abandoned.reason
    assert data_world.published(collected, "r") is None


# -- cut in mid file ---------------------------------------------------------------------------------


def test_a_result_that_is_cut_in_mid_file_is_gone_on_with_where_it_was(data_world: DataWorld) -> None:
    data_world.start(**{**QUICK, "ECLOUD_TRANSFER_RETRY_SECONDS": "1.5"})
    host = data_world.host("w1", proxy=True)
    proxy = host.proxy
    assert proxy
    data = os.urandom(15_000_000)
    proxy.cut_after, proxy.once = 10_000_000, True
    task = data_world.collect(host, {"big": data})
    wait_for(lambda: proxy.cuts == 1, "it is cut")
    meanwhile = data_world.collect(
        host, {"small": b"small"}
    )  # of the same host, while the other waits for its next try
    assert isinstance(data_world.answer(meanwhile), Published)
    assert isinstance(data_world.answer(task), Published)
    assert data_world.published(task, "big") == data
    assert proxy.cuts == 1
    assert proxy.from_target < 1.2 * len(data)


def test_an_input_that_is_cut_in_mid_file_is_gone_on_with_when_it_is_staged_again(data_world: DataWorld) -> None:
    data_world.start(**QUICK)
    host = data_world.host("w1", proxy=True)
    proxy = host.proxy
    assert proxy
    data = os.urandom(15_000_000)
    proxy.cut_sent_after, proxy.once = 10_000_000, True
    task = data_world.stage(host, data)
    failed = data_world.answer(task)
    assert isinstance(failed, StageFailed) and failed.fault == "transfer" and host.where in failed.reason
    assert not host.cached(data)
    assert isinstance(data_world.answer(data_world.stage(host, data, name=f"in/{task}")), StageDone)
    assert host.cached(data)
    assert proxy.cuts == 1
    assert proxy.to_target < 1.2 * len(data)


# -- host key changed --------------------------------------------------------------------------------


def test_another_host_key_is_refused_at_once_and_nothing_goes_either_way(data_world: DataWorld) -> None:
    data_world.start(**QUICK)
    host, other = data_world.host("w1"), data_world.host("w2")
    transfers_well(data_world, host)
    host.server.change_host_key()
    staged, collected = data_world.stage(host, b"input"), data_world.collect(host, {"r": b"result"})
    transfers_well(data_world, other)
    failed, abandoned = data_world.answer(staged), data_world.answer(collected)
    assert isinstance(failed, StageFailed) and failed.fault == "host"
    assert isinstance(abandoned, Abandoned) and abandoned.fault == "host"
    for said in (failed.reason, abandoned.reason):
        assert host.where in said and "host key" in said, said
    assert not host.cached(b"input") and data_world.published(collected, "r") is None


# -- disk full ---------------------------------------------------------------------------------------


def test_results_wait_for_a_full_datastore_and_are_fetched_when_there_is_room(
    data_world: DataWorld, small_disk: Callable[[Path, int], Path]
) -> None:
    tree = small_disk(data_world.world.tree, 8)
    data_world.start(**QUICK)
    hosts = [data_world.host(f"w{number}") for number in range(3)]
    data = os.urandom(12_000_000)
    big, little = data_world.collect(hosts[0], {"big": data}), data_world.collect(hosts[0], {"little": b"little"})
    said = data_world.warning("full")
    assert str(tree) in said and "12,000,000 are needed" in said and "Nothing is lost" in said
    assert isinstance(data_world.answer(little), Published)
    together = [data_world.collect(host, {"half": data[:5_000_000]}) for host in hosts[1:]]  # each fits alone
    assert data_world.first(together)
    assert data_world.published(big, "big") is None
    enlarge(tree, 60)
    for task, name in ((big, "big"), *((each, "half") for each in together)):
        assert isinstance(data_world.answer(task), Published)
        assert data_world.published(task, name) == data[: 5_000_000 if name == "half" else None]
    data_world.warning("")


def test_an_input_that_does_not_fit_on_the_worker_says_so_and_fits_when_there_is_room(
    data_world: DataWorld, small_disk: Callable[[Path, int], Path]
) -> None:
    data_world.start(**QUICK)
    host = data_world.host("w1")
    disk = small_disk(host.home, 4)
    host.server.give(disk)
    data = os.urandom(6_000_000)
    big, little = data_world.stage(host, data), data_world.stage(host, b"little")
    failed = data_world.answer(big)
    assert isinstance(failed, StageFailed) and failed.fault == "transfer"
    assert host.where in failed.reason and "full" in failed.reason and str(host.home) in failed.reason
    assert isinstance(data_world.answer(little), StageDone | StageFailed)
    enlarge(disk, 40)
    assert isinstance(data_world.answer(data_world.stage(host, data, name=f"in/{big}")), StageDone)
    assert host.cached(data)


# -- permission --------------------------------------------------------------------------------------


def test_a_host_that_does_not_let_the_datastore_in_is_reported_with_user_and_key(data_world: DataWorld) -> None:
    data_world.start(**QUICK)
    host = data_world.host("w1")
    (host.server.own / "authorized").write_text("")
    staged, collected = data_world.stage(host, b"input"), data_world.collect(host, {"r": b"result"})
    failed, abandoned = data_world.answer(staged), data_world.answer(collected)
    assert isinstance(failed, StageFailed) and failed.fault == "transfer"
    assert isinstance(abandoned, Abandoned) and abandoned.fault == "transfer"
    for said in (failed.reason, abandoned.reason):
        assert host.where in said and host.server.user in said and str(data_world.key) in said, said


def test_a_home_that_may_not_be_used_is_reported_with_its_path(data_world: DataWorld) -> None:
    data_world.start(**QUICK)
    host = data_world.host("w1")
    collected = data_world.collect(host, {"r": b"result"})
    assert isinstance(data_world.answer(collected), Published)
    os.chown(host.home, 0, 0)
    host.home.chmod(0o700)
    staged, collected = data_world.stage(host, b"input"), data_world.new_key()
    data_world.order_collect(host, collected, {"r": b"result"})
    failed, abandoned = data_world.answer(staged), data_world.answer(collected[0])
    assert isinstance(failed, StageFailed) and isinstance(abandoned, Abandoned)
    for said in (failed.reason, abandoned.reason):
        assert host.where in said and str(host.home) in said, said


def test_a_result_that_may_not_be_read_is_reported_with_its_name_and_others_come(data_world: DataWorld) -> None:
    data_world.start(**QUICK)
    host = data_world.host("w1")
    key = data_world.new_key()
    path = host.leave(key, "secret", b"x")
    os.chown(path, 0, 0)
    path.chmod(0o600)
    data_world.order_collect(host, key, {"secret": b"x"})
    fine = data_world.collect(host, {"fine": b"fine"})
    abandoned = data_world.answer(key[0])
    assert isinstance(abandoned, Abandoned) and abandoned.fault == "result"
    assert "secret" in abandoned.reason and host.where in abandoned.reason, abandoned.reason
    assert isinstance(data_world.answer(fine), Published)


# -- file changed while sending ----------------------------------------------------------------------


def test_a_result_that_changes_while_it_is_sent_is_fetched_again_and_never_published_mixed(
    data_world: DataWorld,
) -> None:
    data_world.start(**QUICK)
    host = data_world.host("w1", proxy=True)
    proxy = host.proxy
    assert proxy
    proxy.delay = 0.005
    before, data = b"\0" * 5_000_000, os.urandom(5_000_000)
    key = data_world.new_key()
    path = host.leave(key, "r", before)
    data_world.order_collect(host, key, {"r": data})
    wait_for(lambda: proxy.from_target > 1_000_000, "it is being sent")
    path.write_bytes(data)
    assert isinstance(data_world.answer(key[0]), Published)
    assert data_world.published(key[0], "r") == data


def test_a_result_that_never_stops_changing_is_given_up_after_its_tries_and_not_published(
    data_world: DataWorld,
) -> None:
    data_world.start(**QUICK)
    host = data_world.host("w1")
    key = data_world.new_key()
    path = host.leave(key, "r", b"x" * 1_000_000)
    ended = threading.Event()

    def write() -> None:
        with path.open("r+b") as file:
            while not ended.is_set():
                os.pwrite(file.fileno(), os.urandom(64), 500_000)
                time.sleep(0.001)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        data_world.order_collect(host, key, {"r": b"x" * 1_000_000})
        abandoned = data_world.answer(key[0])
    finally:
        ended.set()
        writer.join()
    assert isinstance(abandoned, Abandoned) and abandoned.fault == "result"
    assert "'r'" in abandoned.reason and host.where in abandoned.reason, abandoned.reason
    assert data_world.visible() == set()
    transfers_well(data_world, host)


# -- worker gone -------------------------------------------------------------------------------------


def test_a_worker_that_goes_in_the_middle_of_a_transfer_is_given_up_and_nothing_of_it_is_left(
    data_world: DataWorld,
) -> None:
    data_world.start(**QUICK)
    host, other = data_world.host("w1", proxy=True), data_world.host("w2")
    proxy = host.proxy
    assert proxy
    proxy.delay = 0.01  # six megabytes a second at the most
    task = data_world.collect(host, {"first": b"1", "big": os.urandom(40_000_000)})
    wait_for(lambda: proxy.from_target > 2_000_000, "it is being sent")
    host.server.stop()
    transfers_well(data_world, other)
    abandoned = data_world.answer(task)
    assert isinstance(abandoned, Abandoned) and abandoned.fault == "transfer"
    assert host.where in abandoned.reason
    assert not any(name.startswith(f"out/{task}") for name in data_world.visible())
    incoming = data_world.world.tree / ".ecloud" / "incoming"
    wait_for(lambda: not [path for path in incoming.rglob("*") if path.is_file()], "nothing is left in incoming")
