"""Attempts on a worker: order, slots, staging, inits, and every order of the boss at every phase."""

from __future__ import annotations

import pytest

from tests.worlds.agent import World, result, run, succeeded
from wire.messages import (
    Acknowledge,
    Drain,
    Input,
    InputsMissing,
    Kill,
    ManifestEntry,
    Outcome,
    PhaseReached,
    Resume,
    Returned,
    Staged,
    Stop,
    TakeBack,
)
from worker.agent.effects import (
    Execute,
    ForgetOutcome,
    KeepOutcome,
    KillExecution,
    PlaceInputs,
    RememberInit,
    RemoveAttempt,
    SendReports,
)
from worker.agent.events import ExecutionEnded, InputsNotPlaced, InputsPlaced
from worker.agent.moves import PASSED_OVER_MAX

INPUT = Input(name="net.inp", path="net.inp", digest="b2:" + "a" * 64, size=3)


def test_attempts_begin_in_order_of_arrival_as_slots_are_free() -> None:
    world = World(slots=2)
    world.order(run(1), run(2), run(3), run(4))
    assert world.begun() == [(1, 1), (2, 1)]
    world.end(2)
    assert world.begun() == [(1, 1), (2, 1), (3, 1)]
    assert world.phases() == {(1, 1): "executing", (2, 1): "ended", (3, 1): "executing", (4, 1): "staged"}


def test_an_outcome_is_kept_before_it_is_sent_and_forgotten_once_acknowledged() -> None:
    world = World()
    world.order(run(1))
    world.end(1)
    world.pass_time(0.1)
    kinds = [type(effect) for effect in world.effects]
    assert kinds.index(KeepOutcome) < kinds.index(SendReports)
    world.clear()
    assert world.acknowledge((1, 1)) == [ForgetOutcome(1, 1)]
    assert world.phases() == {}


def test_a_wide_attempt_waits_for_enough_slots_and_narrow_ones_go_before_it() -> None:
    world = World(slots=2)
    world.order(run(1), run(2, slots=2), run(3))
    assert world.begun() == [(1, 1), (3, 1)]
    world.end(1)
    assert world.begun() == [(1, 1), (3, 1)]
    world.end(3)
    assert world.begun() == [(1, 1), (3, 1), (2, 1)]


def test_a_wide_attempt_is_not_passed_over_for_ever() -> None:
    world = World(slots=2)
    world.order(run(1), run(2, slots=2), *(run(task) for task in range(3, 60)))
    for task in (1, *range(3, 60)):
        if (2, 1) in world.begun():
            break
        if (task, 1) in world.begun():
            world.end(task)
    assert (2, 1) in world.begun()
    assert len(world.begun()) <= PASSED_OVER_MAX + 3


def test_more_slots_or_memory_than_the_worker_has_means_the_whole_worker() -> None:
    world = World(slots=2, memory=1000)
    world.order(run(1, slots=64, memory=10**12), run(2))
    assert world.begun() == [(1, 1)]
    world.end(1)
    assert world.begun() == [(1, 1), (2, 1)]


def test_memory_limits_how_many_begin() -> None:
    world = World(slots=4, memory=1000)
    world.order(run(1, memory=600), run(2, memory=600), run(3, memory=400))
    assert world.begun() == [(1, 1), (3, 1)]


def test_no_command_and_no_result_succeeds_without_an_execution_or_a_slot() -> None:
    world = World(slots=1)
    world.order(run(1), *(run(task, commands=[]) for task in range(2, 300)))
    assert world.begun() == [(1, 1)]
    world.pass_time(0.05)
    assert len(world.of(Outcome)) == 298
    assert len(world.messages) == 1
    assert world.did(KeepOutcome) == []
    world.clear()
    assert world.acknowledge(*((task, 1) for task in range(2, 300))) == []


def test_no_command_but_a_result_is_executed_so_that_the_result_is_looked_at() -> None:
    world = World()
    world.order(run(1, commands=[], results=[result("a")]))
    assert world.begun() == [(1, 1)]


def test_a_staged_attempt_waits_for_its_inputs_and_begins_when_they_are_placed() -> None:
    world = World()
    world.order(run(1, staging=True))
    assert world.phases() == {(1, 1): "staging"}
    assert world.order(Staged(task=1, attempt=1, inputs=[INPUT])) == [PlaceInputs(1, 1, [INPUT])]
    world.event(InputsPlaced(1, 1))
    assert world.begun() == [(1, 1)]


def test_inputs_staged_before_their_run_are_used_when_it_comes() -> None:
    world = World()
    world.order(Staged(task=1, attempt=1, inputs=[INPUT]))
    world.order(run(1, staging=True))
    assert world.did(PlaceInputs) == [PlaceInputs(1, 1, [INPUT])]


def test_staged_sent_twice_places_once() -> None:
    world = World()
    world.order(run(1, staging=True))
    world.order(Staged(task=1, attempt=1, inputs=[INPUT]))
    world.order(Staged(task=1, attempt=1, inputs=[INPUT]))
    assert len(world.did(PlaceInputs)) == 1
    world.event(InputsPlaced(1, 1))
    world.order(Staged(task=1, attempt=1, inputs=[INPUT]))
    world.pass_time(1)
    assert world.begun() == [(1, 1)]
    assert len(world.of(PhaseReached, lambda report: report.phase == "executing")) == 1


def test_missing_inputs_are_reported_and_staged_again() -> None:
    world = World(cached=[INPUT.digest])
    world.order(run(1, staging=True), Staged(task=1, attempt=1, inputs=[INPUT]))
    world.event(InputsNotPlaced(1, 1, missing=[INPUT.digest]))
    world.pass_time()
    assert world.of(InputsMissing) == [InputsMissing(task=1, attempt=1, digests=[INPUT.digest])]
    world.order(Staged(task=1, attempt=1, inputs=[INPUT]))
    world.event(InputsPlaced(1, 1))
    assert world.begun() == [(1, 1)]


def test_inputs_that_cannot_be_written_fail_the_attempt_and_the_worker_is_at_fault() -> None:
    world = World()
    world.order(run(1, staging=True), Staged(task=1, attempt=1, inputs=[INPUT]))
    effects = world.event(InputsNotPlaced(1, 1, reason="no space left on device"))
    assert RemoveAttempt(1, 1) in effects, "at once: the room may be needed"
    world.pass_time()
    (outcome,) = world.of(Outcome)
    assert (outcome.ended, outcome.fault, outcome.reason) == ("failed", "worker", "no space left on device")
    assert world.acknowledge((1, 1)) == [ForgetOutcome(1, 1)]


KEPT = ManifestEntry(source="out", target="out", size=3, digest="b2:" + "a" * 64)


def _ended(how: str) -> World:
    """Attempt 1.1 has run and left `out`."""
    world = World()
    world.order(run(1))
    world.event(ExecutionEnded(Outcome(task=1, attempt=1, ended=how, manifest=[KEPT]), leftovers=True))  # type: ignore[arg-type]
    return world


def test_results_that_others_need_are_kept_when_the_attempt_is_acknowledged() -> None:
    assert RemoveAttempt(1, 1, [KEPT]) in _ended("succeeded").order(Acknowledge(attempts=[(1, 1)], keep=[(1, 1)]))


def test_results_of_other_attempts_are_removed_with_their_directory() -> None:
    assert RemoveAttempt(1, 1) in _ended("succeeded").acknowledge((1, 1))
    assert RemoveAttempt(1, 1) in _ended("failed").order(Acknowledge(attempts=[(1, 1)], keep=[(1, 1)]))
    assert RemoveAttempt(1, 1) in _ended("succeeded").order(Acknowledge(attempts=[(1, 1)], keep=[(1, 2)]))


def test_inits_run_first_and_the_others_wait_until_they_have_succeeded() -> None:
    world = World(slots=4)
    world.order(run(1, inits=[10, 11]), run(2), run(10, init=True), run(11, init=True))
    assert world.begun() == [(2, 1), (10, 1), (11, 1)] or world.begun() == [(10, 1), (11, 1), (2, 1)]
    world.end(10)
    assert (1, 1) not in world.begun()
    world.end(11)
    assert (1, 1) in world.begun()
    assert world.did(RememberInit) == [RememberInit(10), RememberInit(11)]


def test_an_init_goes_before_what_waits_for_a_slot() -> None:
    world = World(slots=1)
    world.order(run(1), run(2))
    world.order(run(10, init=True))
    world.end(1)
    assert world.begun() == [(1, 1), (10, 1)]


def test_a_failed_init_keeps_the_others_waiting_until_a_higher_attempt_of_it_succeeds() -> None:
    world = World()
    world.order(run(10, init=True), run(1, inits=[10]))
    world.end(10, ended="failed", exit_code=1)
    world.acknowledge((10, 1))
    assert world.phases() == {(1, 1): "staged"}
    world.order(run(10, attempt=2, init=True))
    world.end(10, attempt=2)
    assert world.begun() == [(10, 1), (10, 2), (1, 1)]


def test_an_init_that_succeeded_in_an_earlier_start_is_not_waited_for() -> None:
    world = World(initialized=[10])
    world.order(run(1, inits=[10]))
    assert world.begun() == [(1, 1)]


def test_an_empty_init_succeeds_and_lets_the_others_begin() -> None:
    world = World()
    world.order(run(1, inits=[10]), run(10, init=True, commands=[]))
    assert world.begun() == [(1, 1)]


def test_what_waits_for_an_init_can_be_taken_back() -> None:
    world = World()
    world.order(run(1, inits=[10]), run(10, init=True))
    world.order(TakeBack(task=1, attempt=1))
    world.end(10)
    assert world.begun() == [(10, 1)]


@pytest.mark.parametrize("staging", [False, True])
def test_taking_back_what_has_not_begun_is_answered_returned_until_acknowledged(staging: bool) -> None:
    world = World(slots=1)
    world.order(run(9), run(1, staging=staging))
    world.order(TakeBack(task=1, attempt=1))
    world.pass_time(10)
    assert len(world.of(Returned)) >= 2
    assert world.phases()[(1, 1)] == "returned"
    world.acknowledge((1, 1))
    world.clear()
    world.pass_time(100)
    assert world.of(Returned) == []
    world.end(9)
    assert (1, 1) not in world.begun()


def test_taking_back_what_executes_is_answered_executing() -> None:
    world = World()
    world.order(run(1))
    world.pass_time(1)
    world.clear()
    world.order(TakeBack(task=1, attempt=1))
    world.pass_time(1)
    assert world.of(PhaseReached) == [PhaseReached(task=1, attempt=1, phase="executing")]
    assert world.phases() == {(1, 1): "executing"}


def test_taking_back_what_has_ended_is_answered_by_its_outcome() -> None:
    world = World()
    world.order(run(1))
    world.end(1)
    world.pass_time(1)
    world.clear()
    world.order(TakeBack(task=1, attempt=1))
    world.pass_time(0.1)
    assert world.of(Outcome) == [succeeded(1)]


def test_taking_back_what_never_arrived_is_answered_returned_and_a_late_run_of_it_does_not_begin() -> None:
    world = World()
    world.order(TakeBack(task=1, attempt=1))
    world.order(run(1))
    world.pass_time(0.1)
    assert world.begun() == []
    assert world.of(Returned) == [Returned(task=1, attempt=1)]


@pytest.mark.parametrize("staging", [False, True])
def test_killing_what_has_not_begun_cancels_it_at_once(staging: bool) -> None:
    world = World(slots=1)
    world.order(run(9), run(1, staging=staging))
    world.order(Kill(task=1, attempt=1, reason="by ann"))
    world.pass_time(0.1)
    (outcome,) = world.of(Outcome)
    assert (outcome.ended, outcome.reason) == ("cancelled", "by ann")


def test_killing_what_executes_kills_it_and_its_outcome_follows() -> None:
    world = World()
    world.order(run(1))
    assert world.order(Kill(task=1, attempt=1, reason="by ann")) == [KillExecution(1, 1, "by ann")]
    world.end(1, ended="cancelled", reason="by ann")
    world.pass_time(0.1)
    assert world.of(Outcome)[0].ended == "cancelled"


def test_killing_what_never_arrived_is_answered_cancelled_and_a_late_run_does_not_begin() -> None:
    world = World()
    world.order(Kill(task=1, attempt=1))
    world.order(run(1))
    world.pass_time(0.1)
    assert world.begun() == []
    assert [outcome.ended for outcome in world.of(Outcome)] == ["cancelled"]


def test_acknowledging_what_executes_kills_it_and_forgets_it_when_it_is_dead() -> None:
    world = World(slots=1)
    world.order(run(1), run(2))
    effects = world.acknowledge((1, 1))
    assert [type(effect) for effect in effects] == [KillExecution]
    assert world.phases() == {(2, 1): "staged"}
    world.event(ExecutionEnded(Outcome(task=1, attempt=1, ended="cancelled"), leftovers=True))
    assert RemoveAttempt(1, 1) in world.effects
    assert world.begun() == [(1, 1), (2, 1)]
    world.pass_time(10)
    assert world.of(Outcome) == []


def test_acknowledging_what_has_not_begun_or_is_unknown_drops_it() -> None:
    world = World(slots=1)
    world.order(run(9), run(1, staging=True))
    world.acknowledge((1, 1), (77, 3))
    assert world.phases() == {(9, 1): "executing"}


def test_the_same_run_again_only_repeats_its_phase() -> None:
    world = World()
    world.order(run(1))
    world.pass_time(1)
    world.clear()
    world.order(run(1))
    world.pass_time(1)
    assert world.did(Execute) == []
    assert world.of(PhaseReached) == [PhaseReached(task=1, attempt=1, phase="executing")]


def test_a_lower_attempt_than_a_known_one_is_ignored() -> None:
    world = World(slots=4)
    world.order(run(1, attempt=2))
    world.order(run(1, attempt=1))
    assert world.begun() == [(1, 2)]


@pytest.mark.parametrize("phase", ["staging", "staged", "executing", "ended"])
def test_a_higher_attempt_replaces_a_lower_one_in_every_phase(phase: str) -> None:
    world = World(slots=1)
    if phase == "staged":
        world.order(run(9))
    world.order(run(1, staging=phase == "staging"))
    if phase == "ended":
        world.end(1)
    world.clear()
    world.order(run(1, attempt=2))
    assert (1, 1) not in world.phases()
    assert bool(world.did(KillExecution)) == (phase == "executing")
    if phase == "executing":
        world.end(1, ended="cancelled")
    if phase == "staged":
        world.end(9)
    assert (1, 2) in world.begun()


def test_draining_gives_back_what_has_not_begun_and_refuses_new_attempts_until_resumed() -> None:
    world = World(slots=1)
    world.order(run(1), run(2), run(3, staging=True))
    world.order(Drain())
    assert world.phases() == {(1, 1): "executing", (2, 1): "returned", (3, 1): "returned"}
    world.order(run(4))
    assert world.phases()[(4, 1)] == "returned"
    world.order(Resume())
    world.end(1)
    world.order(run(5))
    assert (5, 1) in world.begun()


def test_stop_ends_the_worker_once_nothing_is_held() -> None:
    world = World()
    world.order(run(1))
    world.order(Stop())
    world.pass_time(100)
    assert world.exit is None
    world.end(1)
    world.pass_time(1)
    assert world.exit is None
    world.acknowledge((1, 1))
    world.pass_time(1)
    assert world.exit is not None and world.exit.code == 0


def test_stop_now_kills_what_runs_and_nothing_is_at_fault() -> None:
    world = World()
    world.order(run(1))
    world.order(Stop(now=True))
    assert len(world.did(KillExecution)) == 1
    world.end(1, ended="cancelled", reason="the worker was stopped by the boss")
    world.pass_time(0.1)
    (outcome,) = world.of(Outcome)
    assert (outcome.ended, outcome.fault) == ("cancelled", "task")
    assert world.exit is not None


def test_a_success_that_came_before_the_kill_counts() -> None:
    world = World()
    world.order(run(1))
    world.order(Stop(now=True))
    world.end(1)
    world.pass_time(0.1)
    assert world.of(Outcome) == [succeeded(1)]


def test_events_about_unknown_attempts_change_nothing() -> None:
    world = World()
    assert world.event(InputsPlaced(5, 5)) == []
    assert world.event(InputsNotPlaced(5, 5, reason="x")) == []
    assert world.end(5, attempt=5) == []


def test_too_many_result_files_fail_with_a_sentence_instead_of_a_message_too_large() -> None:
    from wire.messages import ManifestEntry

    entries = [
        ManifestEntry(source="x" * 100, target="y" * 100, size=1, digest="b2:" + "0" * 64) for _ in range(40_000)
    ]
    world = World()
    world.order(run(1, results=[result("x")]))
    world.end(1, manifest=entries)
    world.pass_time(0.1)
    (outcome,) = world.of(Outcome)
    assert outcome.ended == "failed" and "40,000 result files" in outcome.reason
