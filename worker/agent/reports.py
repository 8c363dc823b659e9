"""What the agent says, and when: hello, phases, ends until they are acknowledged, heartbeats, confirmations.

Reports gather in the outbox and go out at a deadline, so that under load one message carries many and on an idle
worker an outcome leaves at once. Whatever is lost on the way is said again from the attempts themselves.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import msgspec

from wire.messages import (
    VERSION,
    AttemptKey,
    Heartbeat,
    Leaving,
    Outcome,
    Returned,
    WorkerHello,
    WorkerReport,
    WorkerReports,
)
from worker.agent.effects import SendReports
from worker.agent.events import LinkConnected, LinkDisconnected
from worker.agent.state import Held, WorkerAgentState, held_attempts

#: A phase or a confirmation alone waits so long for company: a short attempt's outcome makes its phase superfluous.
PHASE_DELAY = 0.05
#: An outcome waits so long while other attempts are ready to begin here: the boss then takes many in one turn.
BACKLOG_DELAY = 0.05
#: But so many do not wait once they are more than what is left to begin: the slots must not run dry meanwhile.
BACKLOG_MANY = 32
#: So many reports go out without waiting.
OUTBOX_FULL = 500
RESEND_FIRST = 2.0
RESEND_MAX = 30.0
HELLO_FIRST = 1.0
HELLO_MAX = 30.0
#: After this share of `orphan_after` without a word from the boss it is asked, by a hello.
ASK_SHARE = 0.25
CACHED_MAX = 10_000
#: A control character takes six bytes in JSON; no character takes more per byte of UTF-8.
_WORST = 6
#: Names and punctuation of a small report.
_FRAME = 160
#: Digests, sizes and names of the fields of one listed file.
_FILE = 200
_DIGEST = 72
#: An outcome larger than this cannot be reported. The limit of the codec is above it by what the boss adds when it has
#: the results collected: the folder of the project, to each name.
OUTCOME_MAX = 5 * 1024 * 1024


def flush_by(state: WorkerAgentState, when: float) -> None:
    if state.flush_at is None or when < state.flush_at:
        state.flush_at = when


def report(state: WorkerAgentState, key: AttemptKey, what: WorkerReport, delay: float = PHASE_DELAY) -> None:
    """Put a report of an attempt into the outbox, in place of an older one. Without a link the hello will say it."""
    if not state.connected:
        return
    state.outbox[key] = what
    flush_by(state, state.now if len(state.outbox) >= OUTBOX_FULL else state.now + delay)


def report_end(state: WorkerAgentState, held: Held) -> None:
    """An outcome, or the answer that an attempt was given back."""
    if held.outcome is not None:
        report(state, held.key, held.outcome, _pause(state))
    else:
        report(state, held.key, Returned(task=held.task, attempt=held.attempt), 0.0)


def _pause(state: WorkerAgentState) -> float:
    """Of an outcome, by what is left to begin here and what waits to be reported."""
    left, waiting = state.counts["staged"], len(state.outbox)
    return BACKLOG_DELAY if left and (waiting < left or waiting < BACKLOG_MANY) else 0.0


def confirm(state: WorkerAgentState, number: int) -> None:
    state.confirms.append(number)
    flush_by(state, state.now + PHASE_DELAY)


def on_connected(state: WorkerAgentState, _: LinkConnected) -> None:
    """A fresh connection: nothing that was under way counts, the hello says it all."""
    state.connected = True
    state.welcomed = False
    state.hello_delay = HELLO_FIRST
    state.hello_at = state.now
    state.outbox.clear()
    state.confirms.clear()
    state.flush_at = None


def on_disconnected(state: WorkerAgentState, _: LinkDisconnected) -> None:
    state.connected = state.welcomed = False
    state.hello_at = state.flush_at = None
    state.outbox.clear()
    state.confirms.clear()
    state.resends.clear()


def say_hello_soon(state: WorkerAgentState) -> None:
    """The boss is new, or silent: state what is held again."""
    if state.connected:
        state.welcomed = False
        state.hello_delay = HELLO_FIRST
        state.hello_at = state.now


def send_due(state: WorkerAgentState) -> None:
    """Send whatever is due."""
    if not state.connected or not state.deployment:
        return
    if not state.welcomed and state.hello_at is not None and state.hello_at <= state.now:
        _send_hello(state)
    _ask_when_silent(state)
    _resend_due(state)
    beat = state.welcomed and state.sent_at + state.heartbeat_seconds <= state.now
    if state.flush_at is not None and (state.flush_at <= state.now or beat):
        _flush(state)  # a sign of life as well: what waits for company goes with it
    elif beat:
        _send(state, [_heartbeat(state)])


def next_deadline(state: WorkerAgentState) -> float | None:
    """When `send_due` has something to do; None without a link."""
    if not state.connected or not state.deployment:
        return None
    due = [_ask_at(state)]
    if state.flush_at is not None:
        due.append(state.flush_at)
    if state.welcomed:
        due.append(state.sent_at + state.heartbeat_seconds)
    elif state.hello_at is not None:
        due.append(state.hello_at)
    _drop_settled_resends(state)
    if state.resends:
        due.append(state.resends[0][0])
    return min(due)


def _ask_at(state: WorkerAgentState) -> float:
    return max(state.heard_at, state.asked_at) + max(state.orphan_after_seconds * ASK_SHARE, 0.1)


def _ask_when_silent(state: WorkerAgentState) -> None:
    """A boss that has nothing to order is as silent as a dead one; a hello makes it answer."""
    if _ask_at(state) <= state.now:
        state.asked_at = state.now
        if state.welcomed:
            say_hello_soon(state)


def _unacknowledged(state: WorkerAgentState) -> Iterable[Held]:
    return (held for held in state.held.values() if held.phase in ("ended", "returned"))


def _send_hello(state: WorkerAgentState) -> None:
    """Hello, then everything that the boss has not acknowledged."""
    state.asked_at = state.now
    state.hello_number = state.message_number + 1
    state.hello_at = state.now + state.hello_delay
    state.hello_delay = min(state.hello_delay * 2, HELLO_MAX)
    state.resends.clear()
    state.cache_added.clear()
    state.cache_dropped.clear()
    for held in _unacknowledged(state):
        held.resend_pause = 0.0
        state.outbox[held.key] = held.outcome or Returned(task=held.task, attempt=held.attempt)
    first: list[WorkerReport] = [_hello(state)]
    if state.leaving:
        first.append(Leaving(reason=state.stop_reason))
    _flush(state, first)


def _hello(state: WorkerAgentState) -> WorkerHello:
    options = state.options
    cached = list(state.cached)[-CACHED_MAX:]
    cached.reverse()
    return WorkerHello(
        pool=options.pool,
        slots=options.slots,
        memory=options.memory,
        labels=options.labels,
        place=options.place,
        held=held_attempts(state),
        initialized=list(state.initialized),
        died=state.died,
        draining=state.draining,
        cached=cached,
        address=options.address,
        pid=options.pid,
        program=options.program,
        bundle=options.bundle,
    )


def _heartbeat(state: WorkerAgentState) -> Heartbeat:
    progress = [(task, attempt, fraction) for (task, attempt), fraction in state.progress.items()]
    beat = Heartbeat(
        progress=progress,
        disk_free=state.disk_free,
        cached=list(state.cache_added)[-CACHED_MAX:],
        dropped=list(state.cache_dropped)[-CACHED_MAX:],
    )
    state.progress.clear()
    state.cache_added.clear()
    state.cache_dropped.clear()
    state.heartbeat_sent_at = state.now
    return beat


def _flush(state: WorkerAgentState, first: Iterable[WorkerReport] = ()) -> None:
    reports = [*first, *state.outbox.values()]
    ends = [key for key in state.outbox if _is_end(state, key)]
    news = state.progress or state.cache_added or state.cache_dropped
    if news and state.welcomed and state.heartbeat_sent_at + state.heartbeat_seconds <= state.now:
        reports.append(_heartbeat(state))
    state.outbox.clear()
    _send(state, reports)
    _resend_later(state, ends)


def _is_end(state: WorkerAgentState, key: AttemptKey) -> bool:
    held = state.held.get(key)
    return held is not None and held.phase in ("ended", "returned")


def _resend_later(state: WorkerAgentState, keys: list[AttemptKey]) -> None:
    """Whatever end has just gone out is reported again later, after a pause that doubles each time."""
    by_pause: dict[float, list[AttemptKey]] = {}
    for key in keys:
        held = state.held[key]
        held.resend_pause = min(held.resend_pause * 2, RESEND_MAX) or RESEND_FIRST
        held.resend_at = state.now + held.resend_pause
        by_pause.setdefault(held.resend_pause, []).append(key)
    for pause, group in by_pause.items():
        heapq.heappush(state.resends, (state.now + pause, state.message_number, group))


def _is_due(state: WorkerAgentState, key: AttemptKey, when: float) -> bool:
    """An entry of the heap counts only while its end is unacknowledged and was not reported again since."""
    return _is_end(state, key) and state.held[key].resend_at == when


def _drop_settled_resends(state: WorkerAgentState) -> None:
    while state.resends and not any(_is_due(state, key, state.resends[0][0]) for key in state.resends[0][2]):
        heapq.heappop(state.resends)


def _resend_due(state: WorkerAgentState) -> None:
    while state.resends and state.resends[0][0] <= state.now:
        when, _, keys = heapq.heappop(state.resends)
        for key in keys:
            if _is_due(state, key, when):
                held = state.held[key]
                state.outbox[key] = held.outcome or Returned(task=held.task, attempt=held.attempt)
                flush_by(state, state.now)


def _send(state: WorkerAgentState, reports: list[WorkerReport]) -> None:
    """One message, or as many as the size limit asks for; the confirmations go with the first."""
    state.flush_at = None
    state.sent_at = state.now
    confirms, state.confirms = state.confirms, []
    for part in _split(reports, state.options.message_bytes):
        state.message_number += 1
        state.effects.append(
            SendReports(
                WorkerReports(
                    version=VERSION,
                    deployment=state.deployment,
                    worker=state.options.worker,
                    incarnation=state.options.incarnation,
                    number=state.message_number,
                    epoch=state.last_order[0],
                    confirms=confirms,
                    reports=part,
                )
            )
        )
        confirms = []


def _split(reports: list[WorkerReport], limit: int) -> Iterable[list[WorkerReport]]:
    part: list[WorkerReport] = []
    size = 0
    for one in reports:
        bound = size_bound(one)
        if part and size + bound > limit:
            yield part
            part, size = [], 0
        part.append(one)
        size += bound
    yield part


# --- how large a report can get as JSON: upper bounds, cheap enough to compute for every one ----------------


def size_bound(report: WorkerReport) -> int:
    """Not fewer bytes than the report takes on the wire (text of four-byte characters included)."""
    if isinstance(report, Outcome):
        return _outcome_bound(report)
    if isinstance(report, WorkerHello):
        return len(msgspec.json.encode(report))
    if isinstance(report, Heartbeat):
        return _FRAME + 64 * len(report.progress) + _DIGEST * (len(report.cached) + len(report.dropped))
    digests = getattr(report, "digests", ())
    return _FRAME + _DIGEST * len(digests) + _WORST * len(getattr(report, "reason", ""))


def _outcome_bound(outcome: Outcome) -> int:
    text = len(outcome.reason) + len(outcome.command) + len(outcome.stdout_tail) + len(outcome.stderr_tail)
    fixed = _FRAME * (2 + len(outcome.commands) + len(outcome.figures)) + _FILE * len(outcome.manifest)
    # Plain loops: most outcomes have nothing in these lists, and this runs twice for each.
    for summary in outcome.commands:
        text += len(summary.command)
    for entry in outcome.manifest:
        text += len(entry.source) + len(entry.target)
    for each in outcome.folders:
        text += len(each.source) + len(each.target) + sum(map(len, each.empty))
        fixed += _FRAME + 3 * len(each.empty)
    return fixed + _WORST * text


def is_too_large(outcome: Outcome) -> bool:
    """Whether it does not fit one message. Encoded only where the bound leaves a doubt."""
    return _outcome_bound(outcome) > OUTCOME_MAX and len(msgspec.json.encode(outcome)) > OUTCOME_MAX
