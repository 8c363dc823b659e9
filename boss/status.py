"""Why things wait, as sentences: what `boss.core.diagnosis` finds, worded for users, and what of it `status` shows.

The one home of these sentences. Nothing is decided by them: code reads the kind beside the sentence.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from boss.common.plural import plural
from boss.common.times import format_clock
from boss.core import waits
from boss.core.diagnosis import conditions, other_versions
from boss.core.instance_state import DATASTORE
from boss.core.ready import Demand
from boss.core.reasons import LASTING
from boss.core.state import State
from boss.core.waits import BossWarning, Dependency, Lack, Misfit, OtherVersion, VersionAnswer, Wait, WaitKind

logger = logging.getLogger(__name__)

#: A reason is shown once it has lasted so long: what is over within seconds (a start, a reconnection) is left out.
LASTS_SECONDS = 5.0
#: These are shown at once: an operator or a rule decided them, or several tries have failed.
_AT_ONCE = frozenset(
    {WaitKind.INPUTS_NOT_BROUGHT, WaitKind.WORKER_QUARANTINED, WaitKind.BATCH_PAUSED, WaitKind.CLAIM_REFUSED}
)
#: Kinds of workers that are named in one sentence.
_MISFITS_SHOWN = 3
#: Characters of a text that a worker stated.
_STATED = 60

#: Until an agent of another version is logged again.
REPEAT_SECONDS = 3600.0
#: Lines about them within a minute, whatever incarnations and ids agents take.
LINES = 20
_LINES_SECONDS = 60.0

_RETRIES = "the boss retries automatically"
_LACKS = {
    Lack.POOL: "another pool",
    Lack.LABELS: "other labels",
    Lack.SLOTS: "too few slots",
    Lack.MEMORY: "too little memory",
}


class StatusReason(msgspec.Struct, frozen=True):
    """One reason as `status` shows it. Kind and `about` tell it from others while its numbers change."""

    kind: WaitKind
    about: str
    text: str


class StatusReasons:
    """What keeps work from going on, for `status`. Remembers since when; used by one thread."""

    def __init__(self, datastore_host: str = "") -> None:
        """`datastore_host`: where the datastore's program runs; empty: beside the boss."""
        self._datastore_host = datastore_host
        #: Kind and about -> since when (monotonic).
        self._since: dict[tuple[WaitKind, str], float] = {}

    def note(self, state: State) -> list[Wait]:
        """The conditions of this state, remembered, so that the first `status` shows what has lasted by then."""
        found = conditions(state)
        self._since = {(one.kind, one.about): self._since.get((one.kind, one.about), state.now) for one in found}
        return found

    def observe(self, state: State, warnings: Iterable[BossWarning]) -> tuple[StatusReason, ...]:
        """The warnings of the boss's parts, then the conditions of this state that have lasted."""
        found = self.note(state)
        lasting = [
            one
            for one in found
            if one.kind in _AT_ONCE or state.now - self._since[one.kind, one.about] >= LASTS_SECONDS
        ]
        context = ReasonContext(state.wall, self._datastore_host)
        return tuple(status_reason(one, context) for one in [*warnings, *lasting])


class OtherVersionLog:
    """Logs which agents use another version of the protocol, and what the boss does about each: once an hour for each.

    Used by one thread.
    """

    def __init__(self) -> None:
        #: What was logged and when (monotonic), oldest first.
        self._logged: dict[OtherVersion, float] = {}

    def observe(self, state: State, now: float) -> None:
        """Called after every turn; `now` in seconds of a monotonic clock."""
        if not state.other_versions:
            return
        self._logged = {one: at for one, at in self._logged.items() if now - at < REPEAT_SECONDS}
        lines = sum(now - at < _LINES_SECONDS for at in self._logged.values())
        new = [one for one in other_versions(state) if one not in self._logged]
        for one in new[: max(0, LINES - lines)]:
            self._logged[one] = now
            logger.warning("%s", sentence(one, ReasonContext(state.wall)), extra={"action": "other_version"})


class ReasonContext(NamedTuple):
    """What a sentence needs beside the reason."""

    #: Now, in seconds since the epoch.
    wall: float
    datastore_host: str = ""
    #: Ids of tasks that a reason names by their numbers.
    ids: Mapping[int, str] = {}


def status_reason(wait: Wait, context: ReasonContext) -> StatusReason:
    return StatusReason(wait.kind, wait.about, sentence(wait, context))


def database_reason(text: str) -> StatusReason:
    """What is shown while the database cannot be used."""
    return StatusReason(WaitKind.WARNING, "database", text)


def sentence(wait: Wait, context: ReasonContext) -> str:
    """The reason in words, without a full stop at its end."""
    match wait:
        # The boss as a whole.
        case waits.BossWarning():
            return wait.text
        case waits.Stopping():
            return "the boss is stopping and sends nothing more; the next boss goes on with all tasks"
        case waits.NoBroker():
            return "the boss is not connected to its broker; it reconnects automatically"
        case waits.NoDatastore():
            where = f" on {context.datastore_host}" if context.datastore_host else ""
            return (
                f"the datastore is not connected: its program{where} has not said hello; tasks with files wait for it"
            )
        case waits.DatastoreHeld():
            return f"datastore: {wait.text}"
        case waits.FileNotStored():
            return f"the datastore has not stored the sent file {wait.name!r} yet: {wait.text}; {_RETRIES}"
        case waits.OtherVersion():
            return _other_version(wait)
        case waits.ClaimRefused():
            return _claim_refused(wait)
        # A task before anything can be sent.
        case waits.Dependencies():
            return f"it waits for {_dependencies(wait, context)}"
        case waits.Blocked():
            return (
                f"it is blocked by {_dependencies(wait, context)}; "
                "it follows automatically once the failed tasks are retried: admin.py retry_failed"
            )
        case waits.BatchPaused():
            resume = f"resume it with: admin.py resume_batch {wait.batch}"
            return f"batch {wait.batch} is paused: {wait.reason.text}; {resume}"
        case waits.FilesWaiting():
            return (
                f"{plural(wait.count, 'file')} sent with batch {wait.batch} {_be(wait.count)} not on the datastore yet"
            )
        case waits.Retry():
            used = f"{wait.failures} of {plural(wait.retries, 'retry', 'retries')}" if wait.failures else "no retry"
            return f"the boss sends it again {_when(wait.at, context)}; it has used {used}"
        case waits.ResultsSought():
            return "the datastore checks whether its results exist already"
        # Workers and pools that it could be sent to.
        case waits.InputsAwaited():
            return "its inputs are compared with those with which it succeeded before"
        case waits.NoWorker():
            coming = f" ({wait.coming} {_be(wait.coming)} being started)" if wait.coming else ""
            if wait.there:
                return f"no worker takes tasks at present{coming}; tasks wait until one does"
            return f"there is no worker{coming}; tasks wait until one says hello"
        case waits.NoFit():
            return _no_fit(wait)
        case waits.UnknownPool():
            return (
                f"{plural(wait.tasks, 'queued task')} {'requires' if wait.tasks == 1 else 'require'} the pool "
                f"{wait.pool!r}: the settings have no such pool (there are: {', '.join(wait.known) or 'none'}), "
                "and no worker is of it"
            )
        case waits.WorkersBusy():
            them = "it" if wait.workers == 1 else "them"
            return (
                f"{plural(wait.workers, 'worker')} with {plural(wait.slots, 'slot')} could run it and "
                f"{_be(wait.workers)} busy; "
                f"{plural(wait.tasks, 'task')} {'waits' if wait.tasks == 1 else 'wait'} for {them}"
            )
        case waits.WorkersNotServing():
            states = {"draining": wait.draining, "lost": wait.lost, "not connected": wait.disconnected}
            counts = ", ".join(f"{count} {_be(count)} {word}" for word, count in states.items() if count)
            return f"the workers that could run it take no tasks: {counts}"
        case waits.WorkerQuarantined():
            return _worker_quarantined(wait, context)
        case waits.InputsNotBrought():
            return f"worker {wait.worker} does not get its inputs: {wait.text}; {_RETRIES}"
        case waits.PoolGrows():
            return f"pool {wait.pool} is starting {plural(wait.coming, 'worker')}"
        case waits.PoolLimited():
            return f"pool {wait.pool} gets no more workers: {wait.reason.text}"
        case waits.PoolCannotGrow():
            on = "work goes on with the workers there are"
            return f"pool {wait.pool} cannot grow: {wait.text}; {on}, and {_again(wait.retry_at, context)}"
        case waits.PoolStartsFail():
            failed = "a start failed" if wait.failures == 1 else f"{wait.failures} starts in a row failed"
            return f"pool {wait.pool}: {failed}: {wait.text}; {_again(wait.retry_at, context)}"
        case waits.PoolRemoved():
            stop = "stops when it holds" if wait.workers == 1 else "stop when they hold"
            workers = f"its {plural(wait.workers, 'worker')} {stop} no task"
            return f"pool {wait.pool!r} is no longer in the settings: {workers}"
        # An attempt that was sent.
        case waits.Staging():
            since = f" (asked at {format_clock(wait.since)})" if wait.since else ""
            return f"the datastore brings its inputs to worker {wait.worker}{since}"
        case waits.InitTasks():
            network = ", which wait for a network interface" if wait.network else ""
            return f"worker {wait.worker} first runs {plural(wait.count, 'init task')} of its batch{network}"
        case waits.SentAhead():
            away = "" if wait.connected else ", which is not connected at present"
            return f"it was sent ahead to worker {wait.worker}{away}; it starts when a slot is free there"
        case waits.TakenBack():
            return f"the boss has asked worker {wait.worker} to give it back"
        case waits.Collecting():
            return f"the datastore collects its results from worker {wait.worker}"
    raise NotImplementedError(f"no sentence for {type(wait).__name__}")


def _other_version(wait: waits.OtherVersion) -> str:
    is_datastore = wait.agent == DATASTORE
    agent = "the datastore" if is_datastore else f"worker {wait.agent}"
    versions = f"{agent} speaks version {wait.version} of the protocol and the boss version {wait.own}"
    if wait.answer is VersionAnswer.REPLACED:
        return f"{versions}: it fetches the boss's program, finishes what it executes and comes back with that program"
    if wait.answer is VersionAnswer.STOPPED:
        return f"{versions}: it finishes what it executes and stops; the boss starts another one in its place"
    consequence = "it is refused, and tasks with files wait" if is_datastore else "it is refused and gets no tasks"
    older = wait.version < wait.own
    remedy = "update ecloud where it runs and start it again" if older else "update ecloud where the boss runs"
    return f"{versions}: {consequence}; {remedy}"


def _claim_refused(wait: waits.ClaimRefused) -> str:
    stated = [f"pool {wait.pool[:_STATED]!r}"] if wait.pool else []
    if wait.labels:
        labels = ", ".join(repr(f"{name}={value}"[:_STATED]) for name, value in wait.labels)
        stated.append(f"{'label' if len(wait.labels) == 1 else 'labels'} {labels}")
    stated += [plural(wait.slots, "slot")] if wait.slots else []
    counts = f" and counts with {wait.believed_slots}" if wait.slots else ""
    if wait.of_pool:
        bound = f"which the settings of its pool {wait.of_pool} do not grant"
        remedy = f"to allow it, set it in [pools.{wait.of_pool}] (slots, labels)"
    else:
        bound = "which its login does not grant"
        remedy = f"to allow it: admin.py login {wait.worker} --pool POOL --label NAME=VALUE --slots N"
    return f"worker {wait.worker} states {' and '.join(stated)}, {bound}: it works on without{counts}; {remedy}"


def _no_fit(wait: waits.NoFit) -> str:
    fit, require = ("fits", "it requires") if wait.tasks == 1 else ("fit", "they require")
    nothing = "no worker, and none that a pool could start" if wait.elastic else "no worker"
    misfits = "; ".join(map(_misfit, wait.misfits[:_MISFITS_SHOWN]))
    there = f" ({misfits})" if misfits else ""
    return f"{plural(wait.tasks, 'queued task')} {fit} {nothing}: {require} {format_demand(wait.demand)}{there}"


def _worker_quarantined(wait: waits.WorkerQuarantined, context: ReasonContext) -> str:
    text = f"worker {wait.worker} is quarantined: {wait.reason.text}"
    release = f"release it with: admin.py release {wait.worker}"
    if wait.reason.kind in LASTING or not wait.probe_at:
        return f"{text}; {release}"
    return f"{text}; it gets a test task {_when(wait.probe_at, context)}, or {release}"


# --- parts of sentences ----------------------------------------------------------------------------


def format_demand(demand: Demand) -> str:
    """What a worker must have: `2 slots, 4 GB of memory, pool 'cloud', gpu=yes`."""
    words = [plural(demand.slots, "slot")]
    words += [f"{demand.memory / 1e9:.3g} GB of memory"] if demand.memory else []
    words += [f"pool {demand.pool!r}"] if demand.pool else []
    words += [f"{name}={value}" for name, value in demand.labels]
    return ", ".join(words)


def _misfit(misfit: Misfit) -> str:
    pool = f"pool {misfit.kind.pool}" if misfit.kind.pool else "no pool"
    which = f"{plural(misfit.workers, 'worker')} of {pool}" if misfit.workers else pool
    return f"{which}: {', '.join(_LACKS[lack] for lack in misfit.lacks)}"


def _dependencies(wait: waits.Dependencies | waits.Blocked, context: ReasonContext) -> str:
    """How many, and which as far as they are known."""
    count = plural(wait.count, "dependency", "dependencies")
    names = [_task(one, context) for one in wait.tasks]
    if names and wait.count > len(names):
        names.append(f"{wait.count - len(names)} more")
    return f"{count}: {', '.join(names)}" if names else count


def _task(dependency: Dependency, context: ReasonContext) -> str:
    id = context.ids.get(dependency.task)
    return f"{f'task number {dependency.task}' if id is None else repr(id)} ({dependency.state.word})"


def _again(retry_at: float, context: ReasonContext) -> str:
    return f"the boss retries {_when(retry_at, context)}" if retry_at else _RETRIES


def _when(moment: float, context: ReasonContext) -> str:
    return f"at {format_clock(moment)} (in {max(0.0, moment - context.wall):.0f} s)"


def _be(count: int) -> str:
    return "is" if count == 1 else "are"
