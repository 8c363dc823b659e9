"""Rules broken on purpose: each one a way in which such systems really go wrong, put in by replacing one function.

The simulation is worth what it catches: `test_mutations` plays worlds with each of these until one fails. `seed`
is where a failing world was found; the search begins there, and goes on from nought if the worlds have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from boss import turn
from boss.core import (
    attempts,
    claims,
    commands,
    datastore,
    diagnosis,
    dropped,
    host_keys,
    init_tasks,
    machine_faults,
    merge,
    moves,
    orders,
    outdated,
    quarantine,
    restore,
    scheduler,
    workers,
)
from boss.core.assignment import assign
from boss.core.cached_inputs import Cached
from boss.core.effects import SendToWorker
from boss.core.graph import DROPPED, Batch
from boss.core.model import Ended, TaskState
from boss.core.ready import Kind
from boss.core.scaling import scale
from boss.core.scaling.decide import Supply
from boss.core.state import State, Worker
from boss.turn import Decided
from datastore.agent import collecting, publishing
from tests.simulation.bosses import SimulatedBoss
from tests.worlds.store import SimulatedStore
from wire.messages import Heartbeat
from worker.agent import agent as worker_agent
from worker.agent import effects as do
from worker.agent import moves as worker_moves
from worker.agent import orders as worker_orders
from worker.agent import reports as worker_reports

_MISSING = object()


class Patch:
    """Replaces attributes and entries of tables, and puts everything back."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def put(self, owner: Any, name: Any, value: object) -> Any:
        """What stood there before."""
        if isinstance(owner, dict):
            before = owner.get(name, _MISSING)
            owner[name] = value
            self._undo.append(lambda: owner.__setitem__(name, before))
        else:
            before = getattr(owner, name)
            setattr(owner, name, value)
            self._undo.append(lambda: setattr(owner, name, before))
        return before

    def undo(self) -> None:
        while self._undo:
            self._undo.pop()()


def _nothing(*_: object, **__: object) -> None:
    return None


# --- the boss ----------------------------------------------------------------------------------------


def effects_before_commit(patch: Patch) -> None:
    record = SimulatedBoss._record

    def early(self: SimulatedBoss, decided: Decided) -> None:
        self._perform(decided.effects)
        record(self, decided._replace(effects=[]))

    patch.put(SimulatedBoss, "_record", early)


def acknowledgement_before_commit(patch: Patch) -> None:
    record = SimulatedBoss._record

    def early(self: SimulatedBoss, decided: Decided) -> None:
        to_workers = [effect for effect in decided.effects if isinstance(effect, SendToWorker)]
        for effect in to_workers:
            said = [one for one in effect.orders if isinstance(one, attempts.Acknowledge)]
            self._perform([msgspec.structs.replace(effect, orders=said)])
        record(self, decided)

    patch.put(SimulatedBoss, "_record", early)


def read_before_recorded(patch: Patch) -> None:
    """An event that reads the database does not wait until what the turn has changed is there."""
    patch.put(scheduler.Scheduler, "untouched", lambda self: True)


def not_brought_back(patch: Patch) -> None:
    """What an event needs of batches that are not in memory is not read."""
    patch.put(turn, "_bring_back", _nothing)


def commit_without_epoch(patch: Patch) -> None:
    commit = SimulatedStore.commit_as
    patch.put(SimulatedStore, "commit_as", lambda self, epoch, turn, changes: commit(self, self.epoch, turn, changes))


def stale_attempt_accepted(patch: Patch) -> None:
    find = workers.find_or_reopen

    def any_attempt(state: Any, worker: Worker, key: tuple[int, int]) -> Any:
        newest = [one for one in state.attempts.values() if one.task == key[0] and not one.init]
        return newest[-1] if newest else find(state, worker, key)

    patch.put(workers, "find_or_reopen", any_attempt)


def lease_never_ends(patch: Patch) -> None:
    patch.put(scheduler._DUE, "lease", _nothing)


def lost_decrement(patch: Patch) -> None:
    dependants = moves.dependants
    patch.put(moves, "dependants", lambda state, batch, index: dependants(state, batch, index)[:2])


def unmet_left_too_high(patch: Patch) -> None:
    """What a replaced task waited for before is counted on top of what it waits for now."""
    count = moves.count_dependencies

    def on_top(state: State, batch: Batch, index: int, dependencies: Any, stored: Any) -> None:
        before = batch.unmet[index]
        count(state, batch, index, dependencies, stored)
        batch.unmet[index] += before

    patch.put(moves, "count_dependencies", on_top)


def released_too_early(patch: Patch) -> None:
    """Dependants go when their dependency begins, not when it has succeeded."""
    begin = attempts.begin

    def early(state: Any, attempt: Any) -> None:
        begin(state, attempt)
        if not attempt.init:
            for other, index in moves.dependants(state, attempt.batch, attempt.index):
                if other.unmet[index] == 1 and other.states[index] == TaskState.PENDING:
                    moves.move(state, other, index, TaskState.QUEUED, "its last dependency began")

    patch.put(attempts, "begin", early)


def no_question_again(patch: Patch) -> None:
    """What the datastore has not answered is never asked for again."""
    patch.put(scheduler._DUE, "ask_old", _nothing)
    patch.put(scheduler._DUE, "resend_datastore", _nothing)


def succeeded_before_published(patch: Patch) -> None:
    """The worker's word is enough; the datastore is not waited for."""

    def collect(state: Any, attempt: Any, outcome: Any) -> None:
        attempts.begin(state, attempt)
        attempts.end(state, attempt, Ended.SUCCEEDED)
        attempts.settle_task(state, attempt, Ended.SUCCEEDED, "")

    patch.put(attempts, "collect", collect)


def lost_attempts_cost_retries(patch: Patch) -> None:
    settle = attempts.settle_task

    def settle_all(state: Any, attempt: Any, how: Ended, reason: str, *more: Any, **named: Any) -> None:
        settle(state, attempt, Ended.FAILED if how is Ended.LOST else how, reason, *more, **named)

    patch.put(attempts, "settle_task", settle_all)


def silence_is_death(patch: Patch) -> None:
    lose = attempts.lose
    patch.put(attempts, "lose", lambda state, attempt, reason, *, died=False: lose(state, attempt, reason, died=True))


def hello_ignored(patch: Patch) -> None:
    """What it states to hold, and what not, changes nothing."""
    patch.put(workers, "_lose_absent", _nothing)

    def greet(state: Any, worker: Worker, hello: Any) -> None:
        policy = state.policy
        state.send(
            worker,
            workers.Welcome(heartbeat_seconds=policy.heartbeat, orphan_after_seconds=policy.orphan_after),
        )

    patch.put(workers, "_hello", greet)


def dropped_attempts_begin_again(patch: Patch) -> None:
    """What is pushed again after it was dropped is a new task with the old number."""

    def rerun(state: State, batch: Batch, index: int, cause: str) -> None:
        if batch.flags[index] & DROPPED:
            batch.attempts[index] = 0
        before(state, batch, index, cause)

    before = patch.put(dropped, "take_up", rerun)


def cut_off_unseen(patch: Patch) -> None:
    """What was to run again is taken to have the same inputs, whatever they are."""
    patch.put(SimulatedStore, "_same", lambda self, task, attempt, parents: (task, attempt) in self.attempts)


def cut_off_below_an_order(patch: Patch) -> None:
    """A task that was run again and hands over nothing is not looked at."""
    same = SimulatedStore._same
    patch.put(SimulatedStore, "_same", lambda self, task, attempt, parents: same(self, task, attempt, ()))


def changed_inputs_not_noted(patch: Patch) -> None:
    """What is redone makes nothing below it out of date."""
    patch.put(outdated, "note", _nothing)


def changed_task_cut_off(patch: Patch) -> None:
    """A changed task is treated as one below a changed task."""
    rerun = merge._rerun
    patch.put(merge, "_rerun", lambda *given, whatever: rerun(*given, whatever=False))


def former_inits_hold(patch: Patch) -> None:
    """Tasks of earlier versions run under the init tasks that they came with."""
    adopt = init_tasks.adopt

    def late(state: State, batch: Batch, specs: Any) -> None:
        before = list(batch.inits)
        adopt(state, batch, specs)
        batch.inits[:] = before
        for row in before:
            row.retired = False

    patch.put(init_tasks, "adopt", late)


def dropped_runs_on(patch: Patch) -> None:
    """It is out of sight, and is never stopped."""

    def cancel(state: State, batch: Batch, index: int, done: str) -> bool | None:
        return False if done == "dropped" else before(state, batch, index, done)

    before = patch.put(commands, "_cancel", cancel)


def cancelled_is_retried(patch: Patch) -> None:
    patch.put(attempts, "CANCELLING", 0)


def assigned_while_draining(patch: Patch) -> None:
    def serves(self: Worker) -> bool:
        return self.state.value in ("online", "draining")

    patch.put(Worker, "serves", serves)


def init_skipped(patch: Patch) -> None:
    order = orders.RunOrder
    patch.put(attempts, "initialize", _nothing)
    patch.put(attempts, "RunOrder", lambda **fields: order(**(fields | {"inits": ()})))


def crossing_edges_forgotten(patch: Patch) -> None:
    patch.put(restore, "_cross", _nothing)


def assigned_while_held(patch: Patch) -> None:
    """A batch goes on although its sent files are not in place, or a user paused it."""
    patch.put(assign.Batch, "held", lambda self: False)


def other_key_accepted(patch: Patch) -> None:
    """Whoever says hello in a worker's name is that worker."""
    patch.put(host_keys, "_mismatch", lambda worker, stated: "")


def other_host_goes_on(patch: Patch) -> None:
    """What the datastore finds of a host costs the attempt, and nothing else."""
    patch.put(host_keys, "quarantine_host", _nothing)


def hello_believed(patch: Patch) -> None:
    """A worker is what it says it is."""

    def all_of_it(state: State, worker_id: str, hello: Any) -> Any:
        return Kind(hello.pool, tuple(sorted(hello.labels.items())), hello.slots, hello.memory), None

    patch.put(claims, "believed", all_of_it)


def foreign_deaths_counted(patch: Patch) -> None:
    """Whoever reports a death is believed, whosever attempt it was."""

    def count(state: State, worker: str, keys: list[Any]) -> None:
        for task, attempt in keys:
            found = state.unclear_deaths.get(task)
            if found is not None and found[0] == attempt:
                before(state, found[1], [(task, attempt)])

    before = patch.put(workers, "_count_deaths", count)


def foreign_progress_kept(patch: Patch) -> None:
    """Whatever a heartbeat lists is kept."""

    def heartbeat(state: State, worker: Worker, report: Any) -> None:
        before(state, worker, report)
        worker.progress.update({task: fraction for task, _, fraction in report.progress})

    before = patch.put(workers._HANDLERS, Heartbeat, workers._heartbeat)
    patch.put(workers._HANDLERS, Heartbeat, heartbeat)


def weaker_reason_wins(patch: Patch) -> None:
    """A probe undoes what only an operator may."""
    patch.put(quarantine, "is_lasting", lambda worker: False)


def ready_without_a_reason(patch: Patch) -> None:
    """A task could run, does not, and no reason is given."""
    patch.put(diagnosis, "_of_ready", lambda state, demand: iter(()))


def other_results_fail_the_task(patch: Patch) -> None:
    """What a worker sends beside what it reported is the task's fault."""

    def fail(state: Any, attempt: Any, holder: Any, reason: str) -> None:
        attempts.end(state, attempt, Ended.FAILED, reason)
        attempts.settle_task(state, attempt, Ended.FAILED, reason)

    patch.put(datastore, "_other_results", fail)


def cache_believed_for_ever(patch: Patch) -> None:
    """A worker that misses what is recorded to be in its cache is sent the same again."""
    stage_again = attempts.stage_again

    def again(state: Any, attempt: Any) -> None:
        attempt.missed = False
        stage_again(state, attempt)

    patch.put(attempts, "stage_again", again)
    patch.put(Cached, "drop", _nothing)


def machines_always_at_fault(patch: Patch) -> None:
    """A task that makes every machine fail is tried for ever, and quarantines them all."""
    patch.put(machine_faults, "is_the_tasks", lambda state, task, usable: False)


def machine_fault_fails_the_task(patch: Patch) -> None:
    """A machine whose disk is full fails whatever it is sent."""
    patch.put(machine_faults, "is_the_tasks", lambda state, task, usable: True)


# --- the worker --------------------------------------------------------------------------------------


def worker_ignores_number(patch: Patch) -> None:
    """An order that comes twice, or late, is carried out again."""

    def why_ignored(state: Any, message: Any) -> worker_orders.IgnoredOrder | None:
        mine = message.receiver == state.options.incarnation
        return None if mine else worker_orders.IgnoredOrder.OTHER_INCARNATION

    patch.put(worker_orders, "_why_ignored", why_ignored)


def full_disk_fails_the_task(patch: Patch) -> None:
    """Whatever exits with an error while the disk is full is at fault."""
    patch.put(worker_moves, "failed_by_disk", lambda state, held, outcome: outcome)


def outcome_not_kept(patch: Patch) -> None:
    from tests.simulation.workers import SimulatedWorker

    perform = SimulatedWorker._do
    patch.put(
        SimulatedWorker,
        "_do",
        lambda self, effect: None if isinstance(effect, do.KeepOutcome) else perform(self, effect),
    )


def acknowledgement_ignored(patch: Patch) -> None:
    patch.put(worker_orders._HANDLERS, worker_orders.Acknowledge, _nothing)


def outcome_said_once(patch: Patch) -> None:
    patch.put(worker_reports, "_resend_later", _nothing)
    patch.put(worker_reports, "_unacknowledged", lambda state: ())


def numbers_begin_again(patch: Patch) -> None:
    """A boss that reads its memory back counts its orders from the first, and all of them are ignored."""
    patch.put(restore, "take_along", lambda state, before: None)


def thawed_goes_on(patch: Patch) -> None:
    """An agent that stood still begins what it was sent before."""
    patch.put(worker_agent, "_resync", _nothing)


def thawed_believes_what_waited(patch: Patch) -> None:
    """An agent that stood still gives back what it has, and takes what was on its way to it."""
    resync = worker_agent._resync

    def at_once(state: Any) -> None:
        resync(state)
        state.resyncing = False

    patch.put(worker_agent, "_resync", at_once)


# --- instances ---------------------------------------------------------------------------------------


def scaled_in_while_busy(patch: Patch) -> None:
    """Who has work looks as idle as everybody else."""

    def all_idle(state: State, pool: Any, helpers: int) -> Supply:
        supply = before(state, pool, helpers)
        serving = [one.row.worker for one in state.by_pool.get(pool.name, {}).values() if one.state == "running"]
        return Supply(idle=[(worker, 1e6) for worker in serving if worker in state.workers], booting=supply.booting)

    before = patch.put(scale, "supply_of", all_idle)


def never_scaled_in(patch: Patch) -> None:
    """The work is done, and its machines stay."""
    before = patch.put(scale, "decide", lambda *given: msgspec.structs.replace(before(*given), stop=[]))


def nic_not_waited_for(patch: Patch) -> None:
    """Init tasks begin whether their network is there or not."""
    patch.put(attempts, "waits_for_nic", lambda state, worker: False)


# --- the datastore -----------------------------------------------------------------------------------


def abandoned_is_published(patch: Patch) -> None:
    """Abandoned is said at once, and the files appear all the same."""

    def say(state: Any, collection: Any, ending: Any) -> None:
        state.report(ending)

    patch.put(collecting, "_give_up", say)


def records_forgotten(patch: Patch) -> None:
    recover = publishing.recover
    patch.put(publishing, "recover", lambda state, records: recover(state, []))


def forgotten_before_recorded(patch: Patch) -> None:
    """The boss does not keep in its database which records are still to be forgotten."""
    commit = SimulatedStore.commit_as

    def without(self: SimulatedStore, epoch: int, turn: int, changes: Any) -> bool:
        changes.records.clear()
        return commit(self, epoch, turn, changes)

    patch.put(SimulatedStore, "commit_as", without)


@dataclass(frozen=True)
class Mutation:
    apply: Callable[[Patch], None]
    #: A world that fails with it.
    seed: int

    @property
    def name(self) -> str:
        return self.apply.__name__


MUTATIONS = [
    Mutation(effects_before_commit, 0),
    Mutation(acknowledgement_before_commit, 153),
    Mutation(read_before_recorded, 47),
    Mutation(not_brought_back, 0),
    Mutation(commit_without_epoch, 1),
    Mutation(stale_attempt_accepted, 19),
    Mutation(lease_never_ends, 44),
    Mutation(lost_decrement, 4),
    Mutation(unmet_left_too_high, 8),
    Mutation(released_too_early, 0),
    Mutation(no_question_again, 6),
    Mutation(succeeded_before_published, 0),
    Mutation(lost_attempts_cost_retries, 0),
    Mutation(silence_is_death, 37),
    Mutation(hello_ignored, 1),
    Mutation(cancelled_is_retried, 24),
    Mutation(dropped_attempts_begin_again, 45),
    Mutation(dropped_runs_on, 0),
    Mutation(cut_off_unseen, 6),
    Mutation(cut_off_below_an_order, 6),
    Mutation(changed_inputs_not_noted, 6),
    Mutation(changed_task_cut_off, 1765),
    Mutation(former_inits_hold, 6),
    Mutation(assigned_while_draining, 0),
    Mutation(init_skipped, 0),
    Mutation(crossing_edges_forgotten, 23),
    Mutation(assigned_while_held, 4),
    Mutation(other_key_accepted, 25),
    Mutation(other_host_goes_on, 254),
    Mutation(weaker_reason_wins, 83),
    Mutation(foreign_progress_kept, 8),
    Mutation(hello_believed, 8),
    Mutation(foreign_deaths_counted, 8),
    Mutation(ready_without_a_reason, 0),
    Mutation(other_results_fail_the_task, 60),
    Mutation(cache_believed_for_ever, 2),
    Mutation(machines_always_at_fault, 5),
    Mutation(machine_fault_fails_the_task, 0),
    Mutation(full_disk_fails_the_task, 0),
    Mutation(worker_ignores_number, 7),
    Mutation(outcome_not_kept, 3),
    Mutation(acknowledgement_ignored, 0),
    Mutation(outcome_said_once, 3),
    Mutation(numbers_begin_again, 34),
    Mutation(thawed_goes_on, 93),
    Mutation(thawed_believes_what_waited, 93),
    Mutation(scaled_in_while_busy, 2),
    Mutation(never_scaled_in, 2),
    Mutation(nic_not_waited_for, 11),
    Mutation(abandoned_is_published, 24),
    Mutation(records_forgotten, 13),
    Mutation(forgotten_before_recorded, 60),
]


@contextmanager
def broken(mutation: Mutation) -> Iterator[None]:
    patch = Patch()
    try:
        mutation.apply(patch)
        yield
    finally:
        patch.undo()
