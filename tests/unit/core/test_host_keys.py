"""Pinned host keys, and hosts that the datastore finds not to be what they were."""

from __future__ import annotations

import base64
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from boss.core.events import InstanceEnded, QuarantineAsked
from boss.core.host_keys import fingerprint
from boss.core.policy import Policy, PoolPolicy
from tests.worlds.scheduler import FakeWorker, StartInstance, World, manifest
from wire.messages import (
    Abandoned,
    Acknowledge,
    Collect,
    HeldAttempt,
    Place,
    Run,
    SayHello,
    Stage,
    StageFailed,
    TakeBack,
    Welcome,
)


def key(name: str) -> str:
    blob = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20" + sha256(name.encode()).digest()
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} root@{name}"


def place(*names: str, host: str = "10.0.0.1") -> Place:
    return Place(kind="ssh", path="/home/w", host=host, port=22, user="ecloud", host_keys=[key(name) for name in names])


@pytest.fixture
def world() -> World:
    return World(Policy(lease=30.0, probe=60.0))


def impostor(world: World, worker: FakeWorker, stated: Place) -> FakeWorker:
    """Another machine says hello in the worker's name."""
    other = FakeWorker(world, worker.id, slots=2, place=stated)
    other.incarnation = f"{worker.id}-elsewhere.1"
    world.workers[worker.id] = other
    other.hello()
    return other


def release(world: World) -> None:
    world.ask(QuarantineAsked(worker="w", reason=""))


def pinned(world: World) -> list[str]:
    """In memory, and on disk."""
    (row,) = world.store.workers.values()
    seen = world.state.workers["w"].place
    assert seen is not None
    assert b"".join(row.place.split()).find(seen.host_keys[0].split()[1].encode()) > 0 if seen.host_keys else True
    return seen.host_keys


# --- pinning ---------------------------------------------------------------------------------------


def test_the_keys_of_the_first_hello_travel_with_every_order_to_the_datastore(world: World) -> None:
    worker = world.worker(place=place("w"))
    world.push({"a": "", "b": ""}, results={"b": "b.out"}, requirements={"a": "net.inp"})
    (stage,) = world.datastore.ordered(Stage)
    assert stage.place == place("w")
    worker.began((2, 1))
    worker.ended(2, 1, manifest=manifest("b.out"))
    (collect,) = world.datastore.ordered(Collect)
    assert collect.place == place("w")
    world.ignore()


def test_another_address_with_the_same_key_is_the_same_host(world: World) -> None:
    worker = world.worker(place=place("w"))
    worker.about["place"] = place("w", host="10.0.0.99")
    worker.restarted()
    assert not worker.seen.quarantined
    assert worker.seen.place == place("w", host="10.0.0.99")
    world.ignore()


def test_the_same_address_with_another_key_is_another_host_for_another_worker(world: World) -> None:
    world.worker(place=place("w"))
    other = world.worker("w2", place=place("w2"))
    assert not other.seen.quarantined
    world.ignore()


def test_keys_that_are_stated_beside_the_pinned_one_are_not_taken_over(world: World) -> None:
    worker = world.worker(place=place("w", "w-rsa"))
    worker.about["place"] = place("evil", "w-rsa")
    worker.restarted()
    assert not worker.seen.quarantined
    assert pinned(world) == [key("w"), key("w-rsa")]
    world.ignore()


def test_the_comment_of_a_key_is_no_part_of_it(world: World) -> None:
    worker = world.worker(place=place("w"))
    stated = key("w").rsplit(" ", 1)[0] + "  someone@else"
    worker.about["place"] = Place(kind="ssh", path="/home/w", host="10.0.0.1", host_keys=[stated])
    worker.restarted()
    assert not worker.seen.quarantined
    world.ignore()


def test_a_hello_with_another_key_is_refused_and_the_worker_quarantined_naming_both(world: World) -> None:
    worker = world.worker(place=place("w"))
    world.ignore()
    other = impostor(world, worker, place("evil"))
    seen = world.state.workers["w"]
    assert fingerprint(key("w")) in seen.row.quarantined and fingerprint(key("evil")) in seen.row.quarantined
    assert seen.row.quarantined_kind == "other_host_key"
    assert seen.incarnation == worker.incarnation
    assert pinned(world) == [key("w")]
    assert not other.orders(), "nothing is sent to it, not even a welcome"
    assert any(move.after == "quarantined" and "evil" not in move.cause for move in world.state.story)


def test_what_a_refused_host_says_changes_nothing_and_is_not_answered(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker(place=place("w"))
    worker.began((1, 1))
    world.ignore()
    other = impostor(world, worker, place("evil"))
    other.ended(1, 1)
    other.beats()
    assert world.states("a") == "running"
    assert not other.orders()
    world.workers["w"] = worker
    worker.ended(1, 1)
    assert world.states("a") == "succeeded", "what the real one had begun counts"
    world.ignore()


def test_a_refused_host_that_says_hello_again_is_not_reported_again(world: World) -> None:
    worker = world.worker(place=place("w"))
    world.ignore()
    other = impostor(world, worker, place("evil"))
    stated = len(world.state.story)
    for _ in range(5):
        other.hello()
    assert len(world.state.story) == stated
    assert not other.orders()


def test_a_worker_that_was_reinstalled_loses_what_it_had_when_its_lease_ends(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker(place=place("w"))
    worker.began((1, 1))
    world.ignore()
    impostor(world, worker, place("new"))
    world.wait(40.0)
    assert (world.states("a"), world.attempt(1).ended) == ("queued", "lost")
    world.ignore()


def test_an_operator_releases_it_with_the_keys_of_its_newest_hello(world: World) -> None:
    worker = world.worker(place=place("w"))
    world.push({"a": ""})
    world.ignore()
    other = impostor(world, worker, place("new"))
    release(world)
    assert [type(order) for order in other.orders()] == [SayHello]
    assert pinned(world) == [key("new")]
    assert any("pinned" in move.after for move in world.state.story)
    other.hello()
    assert other.seen.incarnation == other.incarnation
    assert {Welcome, Run} <= {type(order) for order in other.orders()}
    world.ignore()


def test_an_operator_releases_a_worker_that_was_refused_by_an_earlier_boss(world: World) -> None:
    worker = world.worker(place=place("w"))
    other = impostor(world, worker, place("new"))
    world.restart()
    world.datastore.hello()
    assert world.state.workers["w"].quarantined
    release(world)
    other.hello()
    assert not other.seen.quarantined
    assert pinned(world) == [key("new")]
    world.ignore()


def test_a_restarted_boss_refuses_the_other_key_as_the_one_before(world: World) -> None:
    worker = world.worker(place=place("w"))
    world.restart()
    world.datastore.hello()
    other = impostor(world, worker, place("evil"))
    assert fingerprint(key("evil")) in world.state.workers["w"].row.quarantined
    assert not other.orders()
    world.ignore()


def test_the_real_host_goes_on_when_an_operator_releases_it_after_an_impostor_reported(world: World) -> None:
    worker = world.worker(place=place("w"))
    other = impostor(world, worker, place("evil"))
    world.workers["w"] = worker
    worker.number += 10
    worker.hello()
    assert worker.seen.quarantined, "only an operator knows which of the two is right"
    release(world)
    assert not worker.seen.quarantined
    assert pinned(world) == [key("w")]
    assert not other.orders()
    world.ignore()


def test_a_refused_host_is_not_answered_after_a_new_start_of_the_real_one_either(world: World) -> None:
    worker = world.worker(place=place("w"))
    other = impostor(world, worker, place("evil"))
    world.workers["w"] = worker
    worker.restarted()
    world.ignore()
    world.workers["w"] = other
    other.beats()
    other.hello()
    assert not other.orders()


def test_the_one_that_was_pinned_before_an_operator_chose_another_host_is_refused(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker(place=place("w"))
    worker.began((1, 1))
    other = impostor(world, worker, place("new"))
    release(world)
    world.workers["w"] = worker
    worker.received.clear()
    worker.ended(1, 1)
    worker.hello()
    assert not worker.orders()
    assert world.states("a") == "running", "its attempt is lost when the new one says hello, or with its lease"
    assert fingerprint(key("w")) in worker.seen.row.quarantined
    world.workers["w"] = other
    other.hello()
    assert world.states("a") == "queued"
    world.ignore()


def test_the_next_boss_sends_nothing_to_the_one_that_was_pinned_before(world: World) -> None:
    world.push({"a": ""})
    worker = world.worker(place=place("w"))
    impostor(world, worker, place("new"))
    release(world)
    world.restart()
    world.datastore.hello()
    world.workers["w"] = worker
    worker.received.clear()
    worker.beats()
    assert {type(order) for order in worker.orders()} <= {SayHello}
    worker.hello()
    assert fingerprint(key("w")) in world.state.workers["w"].row.quarantined
    assert not worker.orders()
    world.ignore()


def test_a_host_that_states_no_key_gets_nothing_until_it_states_one(world: World) -> None:
    worker = world.worker(place=place())
    world.push({"a": ""})
    assert "no host key" in worker.seen.row.quarantined and worker.seen.row.quarantined_kind == "no_host_key"
    assert not worker.ordered(Run)
    worker.about["place"] = place("w")
    worker.restarted()
    assert not worker.seen.quarantined
    assert worker.ordered(Run)
    assert pinned(world) == [key("w")]
    world.ignore()


def test_a_worker_over_ssh_does_not_become_one_of_the_datastores_own_disk(world: World) -> None:
    worker = world.worker(place=place("w"))
    other = impostor(world, worker, Place(path="/etc"))
    assert "'local'" in world.state.workers["w"].row.quarantined
    assert not other.orders()
    world.ignore()


def test_a_probe_does_not_release_a_host_that_is_not_trusted(world: World) -> None:
    worker = world.worker(place=place("w"))
    world.push({"a": "", "b": ""})
    world.ignore()
    world.workers["w"] = worker
    impostor(world, worker, place("evil"))
    world.workers["w"] = worker
    worker.returned((1, 1), (2, 1))
    world.ignore()
    world.wait(2_000.0, worker)
    assert not worker.ordered(Run)
    assert worker.seen.quarantined
    world.ignore()


def test_a_new_machine_under_an_old_id_is_a_new_host() -> None:
    world = World(Policy(pools=(PoolPolicy(name="cloud", provider="opennebula", keeps_home=False),), restart=1.0))
    (start,) = world.take(StartInstance)
    worker = world.worker(start.worker, place=place("first"))
    world.turn(InstanceEnded(instance=start.instance, reason="it was ended"))
    world.wait(5.0)
    (again,) = world.take(StartInstance)
    assert again.worker != start.worker, "a machine that is made again is another worker"
    worker.about["place"] = place("second")
    worker.restarted()
    assert not worker.seen.quarantined
    assert worker.seen.place == place("second")
    world.ignore()


# --- what the datastore finds ----------------------------------------------------------------------


def test_a_host_with_another_key_costs_the_attempt_and_is_quarantined_at_once(world: World) -> None:
    worker = world.worker(place=place("w"), slots=1)
    world.push({"a": ""}, requirements={"a": "net.inp"})
    world.ignore()
    world.datastore.report(StageFailed(task=1, attempt=1, fault="host", reason="10.0.0.1 has another host key"))
    assert "10.0.0.1 has another host key" in worker.seen.row.quarantined
    assert (world.states("a"), world.attempt(1).ended, world.row("a").failures) == ("queued", "lost", 0)
    assert [order.attempts for order in worker.ordered(Acknowledge)] == [[(1, 1)]]
    second = world.worker("w2", place=place("w2"))
    assert [(order.task, order.attempt) for order in second.ordered(Run)] == [(1, 2)]
    world.ignore()


def test_a_host_that_sends_what_was_not_requested_costs_the_attempt_no_retry(world: World) -> None:
    world.push({"a": ""}, results={"a": "a.out"})
    worker = world.worker(place=place("w"))
    worker.began((1, 1))
    worker.ended(1, 1, manifest=manifest("a.out"))
    world.ignore()
    world.datastore.report(Abandoned(task=1, attempt=1, fault="host", reason="w sent a symbolic link"))
    assert (world.states("a"), world.row("a").failures, world.row("a").deaths) == ("queued", 0, 0)
    assert "w sent a symbolic link" in worker.seen.row.quarantined
    assert worker.seen.row.quarantined_kind == "untrusted"
    assert not worker.ordered(Run)
    world.ignore()


def test_a_host_fault_of_a_superseded_attempt_sets_its_worker_aside_too(world: World) -> None:
    worker = world.worker(place=place("w"))
    world.push({"a": ""}, requirements={"a": "net.inp"})
    world.ignore()
    world.push({"a": ""}, requirements={"a": "net.inp"}, commands={"a": "other"}, merge_strategy="replace")
    world.datastore.report(StageFailed(task=1, attempt=1, fault="host", reason="another key"))
    assert "another key" in worker.seen.row.quarantined
    assert world.states("a") == "queued"
    world.ignore()


def test_an_untrusted_host_that_never_answers_loses_what_it_was_sent_ahead(world: World) -> None:
    worker = world.worker(place=place("w"), slots=1)
    world.push({"a": "", "b": ""}, requirements={"a": "net.inp"})
    worker.report()
    world.ignore()
    world.datastore.report(StageFailed(task=1, attempt=1, fault="host", reason="another key"))
    assert [order.task for order in worker.ordered(TakeBack)] == [2]
    world.wait(40.0, worker)
    assert (world.states("b"), world.attempt(2).ended) == ("queued", "lost")
    world.ignore()


def test_an_untrusted_host_finishes_what_it_had_begun(world: World) -> None:
    worker = world.worker(place=place("w"))
    world.push({"a": "", "b": ""}, requirements={"a": "net.inp"})
    worker.began((2, 1))
    world.datastore.report(StageFailed(task=1, attempt=1, fault="host", reason="another key"))
    world.wait(40.0, worker)
    assert world.states("b") == "running"
    worker.ended(2, 1)
    assert world.states("b") == "succeeded"
    world.ignore()


def test_a_weaker_reason_does_not_take_the_place_of_one_that_only_an_operator_lifts(world: World) -> None:
    worker = world.worker(place=place("w"), slots=1)
    world.push({"a": "", "b": ""}, requirements={"a": "net.inp"}, inits=["prepare"])
    world.ignore()
    world.ask(QuarantineAsked(worker="w", reason="odd"))
    for attempt in range(1, world.policy.init_tries + 1):
        worker.ended(3, attempt, "failed", reason="no python")
    assert worker.seen.row.quarantined == "manual: odd"
    world.ignore()


def test_a_host_fault_of_a_worker_that_came_back_on_another_machine_does_not_blame_that_one(world: World) -> None:
    world.push({"a": ""}, results={"a": "a.out"})
    worker = world.worker(place=place("w"))
    worker.began((1, 1))
    worker.ended(1, 1, manifest=manifest("a.out"))
    world.wait(60.0)
    worker.restarted()
    world.datastore.report(Abandoned(task=1, attempt=1, fault="host", reason="another key"))
    assert not worker.seen.quarantined
    world.ignore()


def test_a_host_that_the_boss_trusts_is_asked_for_its_keys_by_its_hello_only(world: World) -> None:
    """Nothing is polled: a worker that is known and says hello again with its key goes on where it was."""
    world.push({"a": ""})
    worker = world.worker(place=place("w"))
    worker.began((1, 1))
    worker.hello(HeldAttempt(task=1, attempt=1, phase="executing"))
    worker.ended(1, 1)
    assert world.states("a") == "succeeded"
    world.ignore()


# --- words -----------------------------------------------------------------------------------------


def test_a_fingerprint_is_the_one_that_ssh_keygen_shows(tmp_path: Path) -> None:
    file = tmp_path / "key.pub"
    file.write_text(key("w") + "\n", encoding="ascii")
    shown = subprocess.run(["ssh-keygen", "-lf", file], capture_output=True, text=True, check=True).stdout
    assert fingerprint(key("w")).split()[1] == shown.split()[1]


@pytest.mark.parametrize("line", ["", "ssh-ed25519", "ssh-ed25519 ***", "ssh-ed25519 AAA", "\u00fc \u00fc"])
def test_a_line_that_is_no_key_has_a_name_all_the_same(line: str) -> None:
    assert fingerprint(line) == repr(line)
