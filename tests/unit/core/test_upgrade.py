"""Workers that run from another bundle than the boss's are ordered to replace themselves; no other is."""

from __future__ import annotations

from boss.core.events import BundlesKnown, StartTokenRefused
from tests.worlds.scheduler import World
from wire.messages import Replace

OLD, NEW, OTHER = (f"b2:{letter * 64}" for letter in "abc")
KIND = "3.11-x86_64"


def known(world: World, digest: str = NEW) -> None:
    world.turn(BundlesKnown(bundles={KIND: digest, "3.12-x86_64": OTHER}))


def test_a_hello_with_another_bundle_is_answered_by_an_order_to_replace_it(world: World) -> None:
    known(world)
    worker = world.worker(bundle=f"{KIND}={OLD}")
    assert worker.ordered(Replace) == [Replace(kind=KIND, digest=NEW)]


def test_a_worker_that_said_hello_before_the_bundles_were_made_is_ordered_then(world: World) -> None:
    worker = world.worker(bundle=f"{KIND}={OLD}")
    assert worker.ordered(Replace) == []
    known(world)
    assert worker.ordered(Replace) == [Replace(kind=KIND, digest=NEW)]


def test_the_same_bundle_none_and_one_for_a_python_of_which_the_boss_has_none_stay(world: World) -> None:
    known(world)
    for id, bundle in (("a", f"{KIND}={NEW}"), ("b", ""), ("c", f"3.12-aarch64={OLD}"), ("d", "nonsense")):
        assert world.worker(id, bundle=bundle).ordered(Replace) == []


def test_an_order_to_replace_that_is_lost_is_said_again_until_it_is_confirmed(world: World) -> None:
    known(world)
    worker = world.worker(bundle=f"{KIND}={OLD}")
    worker.received.clear()
    world.wait(world.policy.resend * 2.5)
    assert worker.ordered(Replace)
    worker.beats()
    world.wait(world.policy.resend * 3, worker)
    assert worker.ordered(Replace) == []


def test_after_a_restart_of_the_boss_it_is_found_out_again(world: World) -> None:
    known(world)
    worker = world.worker(bundle=f"{KIND}={OLD}")
    worker.orders()
    world.restart()
    worker.hello()
    assert worker.ordered(Replace) == []  # not known yet
    known(world)
    assert worker.ordered(Replace) == [Replace(kind=KIND, digest=NEW)]


def test_what_is_started_in_its_place_is_asked_no_more(world: World) -> None:
    known(world)
    worker = world.worker(bundle=f"{KIND}={OLD}")
    worker.orders()
    worker.about["bundle"] = f"{KIND}={NEW}"
    worker.restarted()
    assert worker.ordered(Replace) == []


def test_a_start_token_that_is_used_again_stands_in_the_journal(world: World) -> None:
    world.turn(StartTokenRefused(worker="cloud-1", reason="start token used again by 10.0.0.9: refused"))
    assert [(move.what, move.key, move.cause) for move in world.state.story][-1] == (
        "worker",
        "cloud-1",
        "start token used again by 10.0.0.9: refused",
    )
