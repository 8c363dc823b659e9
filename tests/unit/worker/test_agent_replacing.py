"""An agent that is to be replaced fetches first, finishes what it runs, and ends with a code that its keeper knows."""

from __future__ import annotations

from tests.worlds.agent import World, run, succeeded
from wire.messages import Leaving, Replace, Returned, Stop
from worker.agent.effects import FetchBundle
from worker.agent.events import BundleFetched, BundleNotFetched, LinkConnected, TermReceived
from worker.agent.state import ORPHANED, REPLACED
from worker.bootstrap import keeper

OLD, NEW, NEWER = (f"b2:{letter * 64}" for letter in "abc")
KIND = "3.11-x86_64"


def agent(**more: object) -> World:
    return World(slots=1, bundle=f"{KIND}={OLD}", **more)


def replace(digest: str = NEW) -> Replace:
    return Replace(kind=KIND, digest=digest, url="http://boss/x", token="t")


def test_the_exit_codes_are_those_that_the_keeper_knows() -> None:
    assert (REPLACED, ORPHANED) == (keeper.REPLACED, keeper.ORPHANED)


def test_its_hello_says_which_bundle_it_runs_from() -> None:
    world = agent(connected=False)
    world.event(LinkConnected())
    world.pass_time()
    assert world.hellos()[0].bundle == f"{KIND}={OLD}"


def test_nothing_is_given_back_before_the_other_version_is_here() -> None:
    world = agent()
    world.order(run(1), run(2))
    world.order(replace())
    assert world.did(FetchBundle) == [FetchBundle(NEW, "http://boss/x", "t")]
    assert world.of(Returned) == [] and world.phases() == {(1, 1): "executing", (2, 1): "staged"}


def test_once_it_is_here_what_runs_is_finished_and_the_rest_given_back() -> None:
    world = agent()
    world.order(run(1), run(2))
    world.order(replace())
    world.event(BundleFetched(NEW))
    world.pass_time(1.0)
    assert world.of(Returned) == [Returned(task=2, attempt=1)]
    assert "replaced by the boss's version" in world.of(Leaving)[0].reason
    assert world.exit is None
    world.end(1)
    world.pass_time(0.1)
    world.acknowledge((1, 1), (2, 1))
    world.pass_time(60.0)
    assert world.exit is not None and world.exit.code == REPLACED
    assert succeeded(1) in world.reports()


def test_the_same_order_again_fetches_once_and_a_newer_one_takes_its_place() -> None:
    world = agent()
    world.order(replace(), replace())
    world.order(replace(NEWER))
    assert [effect.digest for effect in world.did(FetchBundle)] == [NEW, NEWER]
    world.event(BundleFetched(NEW))
    assert world.agent.state.stop == ""
    world.event(BundleFetched(NEWER))
    assert world.agent.state.stop == "drain"


def test_its_own_bundle_and_one_that_did_not_serve_here_are_not_fetched() -> None:
    world = agent(given_up=NEW)
    world.order(replace(OLD), replace(NEW))
    assert world.did(FetchBundle) == []


def test_one_that_cannot_be_had_is_asked_for_again_by_a_hello() -> None:
    world = agent()
    world.order(replace())
    world.clear()
    world.event(BundleNotFetched(NEW))
    world.pass_time(0.1)
    assert len(world.hellos()) == 1
    world.order(replace())
    assert len(world.did(FetchBundle)) == 1


def test_one_that_is_ordered_to_stop_ends_for_good() -> None:
    for word in (TermReceived(), None):
        world = agent()
        world.order(run(1), replace())
        world.event(BundleFetched(NEW))
        if word is None:
            world.order(Stop(now=True))
        else:
            world.event(word)
            world.event(TermReceived())
        world.end(1, ended="cancelled")
        world.pass_time(60.0)
        assert world.exit is not None and world.exit.code == 0


def test_one_that_ends_already_is_not_replaced() -> None:
    world = agent()
    world.order(run(1))
    world.event(TermReceived())
    world.order(replace())
    assert world.did(FetchBundle) == []


def test_without_a_boss_for_too_long_it_ends_and_says_whether_its_machine_is_to_end_with_it() -> None:
    for halts, code in ((True, ORPHANED), (False, 1)):
        world = agent(halt_when_orphaned=halts)
        world.pass_time(700.0)
        assert world.exit is not None and world.exit.code == code
