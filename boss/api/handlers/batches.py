"""Handlers for batches: list, one (at once, or when it is finished), following, pausing. Reads view and rows."""

from __future__ import annotations

import asyncio
import threading
import time
from array import array
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from boss.api.backend import Backend, View
from boss.api.handlers.changes import done, known_batch
from boss.api.rate import Rate, eta_seconds
from boss.api.responses import json_response
from boss.api.routes import Call
from boss.api.schema import BY_OPERATOR, BatchAnswer, BatchList, ChangeAnswer, ReasonRequest, counts_of, reasons_of
from boss.api.services import CLOSING
from boss.core.events import PauseAsked
from boss.core.model import TaskState
from boss.core.rows import BatchRow

#: Longest wait of one request.
WAIT_LIMIT_SECONDS = 60.0
#: How often a follower polls the view (this reads no database).
_POLL_SECONDS = 0.05
#: Batches that the view does not have are read from the database, less often, above all large ones.
_READ_FEW_SECONDS, _READ_SECONDS, _READ_MANY = 0.25, 2.0, 10_000
#: A follower gets a line at least so often, so that both ends notice a broken connection.
_SILENCE_SECONDS = 5.0
#: And at most so often while nothing ends.
_LINE_SECONDS = 0.1


def listing(call: Call) -> BatchList:
    """All batches but those of which every task was dropped, oldest first."""
    view = call.backend.view()
    answers = []
    for row in call.backend.reads.batches():
        current = view.batches.get(row.number)
        answer = with_reasons(current, view) if current else from_row(call.backend, row)
        if answer.total or not (row.count or row.attached):
            answers.append(answer)
    return BatchList(batches=answers)


async def single(call: Call) -> Response:
    """One batch; with `wait` not before it is finished or that time (seconds, 60 at most) has passed.

    Raises HttpError 404: there is none.
    """
    wait = min(float(str(call.query.get("wait", 0.0))), WAIT_LIMIT_SECONDS)
    until = time.monotonic() + wait
    while True:
        snapshot = await run_in_threadpool(snapshot_of, call.backend, call.number())
        left = until - time.monotonic()
        if snapshot.last or left <= 0:
            return json_response(snapshot.batch)
        await asyncio.sleep(min(left, snapshot.pause))


async def follow(call: Call) -> Response:
    """A line of JSON whenever something changed, and every 5 s; the last one when the batch is finished.

    Ends before that where the boss ends, or none runs. Raises HttpError 404: there is no such batch.
    """
    # An unknown batch is an error, not an empty stream.
    snapshot = await run_in_threadpool(snapshot_of, call.backend, call.number())
    closing = call.request.scope.get(CLOSING) or threading.Event()
    return StreamingResponse(_lines(call.backend, snapshot, closing), media_type="application/x-ndjson")


async def _lines(backend: Backend, snapshot: BatchSnapshot, closing: threading.Event) -> AsyncIterator[bytes]:
    rate, sent, sent_at = Rate(), b"", -1e9
    with backend.follow(snapshot.batch.number):
        while not closing.is_set():
            now = time.monotonic()
            answer = _with_rate(snapshot.batch, rate.of(now, snapshot.batch.counts.ended))
            state = msgspec.json.encode(
                (answer.counts, answer.paused, answer.reasons, answer.finished, answer.files_waiting)
            )
            silent = now - sent_at
            if snapshot.last or silent >= _SILENCE_SECONDS or (state != sent and silent >= _LINE_SECONDS):
                sent, sent_at = state, now
                yield msgspec.json.encode(answer) + b"\n"
            if snapshot.last:
                return
            await asyncio.sleep(snapshot.pause)
            snapshot = await run_in_threadpool(snapshot_of, backend, answer.number)


def _with_rate(answer: BatchAnswer, seen: float) -> BatchAnswer:
    """`seen`: the rate that this follower has seen, for a batch that no boss works on in this process."""
    rate = answer.rate or seen
    return replace(answer, rate=rate, eta_seconds=eta_seconds(answer.counts.unfinished, rate))


@dataclass
class BatchSnapshot:
    """A batch as it is now."""

    batch: BatchAnswer
    #: Seconds until the next poll is worth it.
    pause: float
    #: It is finished, or no boss works on it.
    last: bool


def snapshot_of(backend: Backend, number: int) -> BatchSnapshot:
    """From the view if the batch is there, else from the database, on which it blocks.

    Raises HttpError 404: there is no such batch.
    """
    view = backend.view()
    current = view.batches.get(number)
    if current is not None:
        answer, pause = current, _POLL_SECONDS
    else:
        answer = from_row(backend, known_batch(backend, number))
        pause = _READ_SECONDS if answer.total > _READ_MANY else _READ_FEW_SECONDS
    return BatchSnapshot(with_reasons(answer, view), pause, answer.finished or not view.live)


def with_reasons(answer: BatchAnswer, view: View) -> BatchAnswer:
    """With why work waits."""
    return replace(answer, hindrances=[reason.text for reason in view.reasons], reasons=reasons_of(view.reasons))


def from_row(backend: Backend, row: BatchRow) -> BatchAnswer:
    """The batch as the database has it; blocks on that for the tasks to which its push is attached."""
    counts = counts_of(_with_attached(backend, row))
    return BatchAnswer(
        number=row.number,
        project=row.project,
        name=row.name,
        counts=counts,
        total=counts.total,
        finished=not counts.unfinished,
        paused=row.paused,
        paused_kind=row.paused_kind,
        created_at=row.created_at,
        finished_at=row.finished_at,
        warnings=row.warnings,
    )


def _with_attached(backend: Backend, row: BatchRow) -> list[int]:
    counts = list(row.counts) + [0] * (len(TaskState) - len(row.counts))
    if row.attached:
        for state in backend.lookups.states(array("q", row.attached).tolist()).values():
            counts[state] += 1
    return counts


def pause(call: Call) -> ChangeAnswer:
    """Let the queued tasks of the batch wait. Raises HttpError 404: there is no such batch; else as `done`."""
    return _set_paused(call, call.request_body(ReasonRequest).reason or BY_OPERATOR)


def resume(call: Call) -> ChangeAnswer:
    """End the pause of the batch. Raises as `pause`."""
    return _set_paused(call, "")


def _set_paused(call: Call, reason: str) -> ChangeAnswer:
    batch = known_batch(call.backend, call.number())
    return done(call, PauseAsked(batch=batch.number, reason=reason))
