"""Handlers for batches: list, one (at once, or when it is finished), following, pausing. Reads view and rows."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import AsyncIterator

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from boss.core.events import PauseAsked
from boss.core.model import TaskState
from boss.core.rows import BatchRow
from boss.web.answers import BatchAnswer, BatchList, ChangeAnswer, ReasonRequest, counts_of
from boss.web.backend import Backend, BatchView, View
from boss.web.changes import done
from boss.web.faults import not_found
from boss.web.pace import Pace, eta_seconds
from boss.web.responses import json_response
from boss.web.routes import Call

#: Longest wait of one request (row 55).
WAIT_LIMIT_SECONDS = 60.0
#: How often a follower looks at the newest view (no database is asked).
_LOOK_SECONDS = 0.05
#: Batches that the view does not have are read from the database, less often.
_READ_SECONDS = 1.0
#: A follower gets a line at least so often, so that both ends notice a broken connection.
_SILENCE_SECONDS = 5.0
#: And at most so often while nothing ends.
_LINE_SECONDS = 0.1


def listing(call: Call) -> BatchList:
    view = call.backend.view()
    answers = []
    for row in call.backend.reads.batches():
        current = view.batches.get(row.number)
        answers.append(from_view(current, view) if current else from_row(call.backend, row))
    return BatchList(batches=answers)


async def single(call: Call) -> Response:
    """One batch; with `wait` not before it is finished or the time is over."""
    number = call.number()
    wait = min(float(str(call.query.get("wait", 0.0))), WAIT_LIMIT_SECONDS)
    until = time.monotonic() + wait
    while True:
        answer = await look(call.backend, number)
        left = until - time.monotonic()
        if answer.finished or left <= 0 or not call.backend.view().live:
            return json_response(answer)
        await asyncio.sleep(min(left, _pause(call.backend, number)))


async def follow(call: Call) -> Response:
    """A line of JSON whenever something changed, the last one when the batch is finished."""
    number = call.number()
    first = await look(call.backend, number)  # an unknown batch is an error, not an empty stream
    return StreamingResponse(_lines(call.backend, number, first), media_type="application/x-ndjson")


async def _lines(backend: Backend, number: int, answer: BatchAnswer) -> AsyncIterator[bytes]:
    pace, said, said_at = Pace(), b"", -1e9
    with backend.follow(number):
        while True:
            now = time.monotonic()
            _set_pace(answer, pace, now)
            state = msgspec.json.encode((answer.counts, answer.paused, answer.hindrances, answer.finished))
            silent = now - said_at
            if answer.finished or not said or silent >= _SILENCE_SECONDS or (state != said and silent >= _LINE_SECONDS):
                said, said_at = state, now
                yield msgspec.json.encode(answer) + b"\n"
            if answer.finished or not backend.view().live:
                return
            await asyncio.sleep(_pause(backend, number))
            answer = await look(backend, number)


def _set_pace(answer: BatchAnswer, pace: Pace, now: float) -> None:
    pace.saw(now, answer.counts.ended)
    if not answer.rate:
        answer.rate = pace.rate()
    answer.eta_seconds = eta_seconds(answer.counts.unfinished, answer.rate)


def _pause(backend: Backend, number: int) -> float:
    return _LOOK_SECONDS if number in backend.view().batches else _READ_SECONDS


async def look(backend: Backend, number: int) -> BatchAnswer:
    """The batch as it is now: from the view if it is there, else from the database."""
    view = backend.view()
    current = view.batches.get(number)
    if current is not None:
        return from_view(current, view)
    return await run_in_threadpool(read, backend, number)


def read(backend: Backend, number: int) -> BatchAnswer:
    row = backend.reads.batch(number)
    if row is None:
        raise not_found(f"there is no batch {number}")
    return from_row(backend, row)


def from_view(batch: BatchView, view: View) -> BatchAnswer:
    counts = counts_of(batch.counts)
    return BatchAnswer(
        number=batch.number,
        project=batch.project,
        name=batch.name,
        counts=counts,
        total=counts.total,
        finished=not counts.unfinished,
        paused=batch.paused,
        detached=batch.detached,
        rate=batch.rate,
        eta_seconds=eta_seconds(counts.unfinished, batch.rate),
        created_at=batch.created_at,
        finished_at=batch.finished_at,
        warnings=list(batch.warnings),
        hindrances=list(view.hindrances),
    )


def from_row(backend: Backend, row: BatchRow) -> BatchAnswer:
    counts = counts_of(_with_attached(backend, row))
    return BatchAnswer(
        number=row.number,
        project=row.project,
        name=row.name,
        counts=counts,
        total=counts.total,
        finished=not counts.unfinished,
        paused=row.paused,
        created_at=row.created_at,
        finished_at=row.finished_at,
        warnings=row.warnings,
    )


def _with_attached(backend: Backend, row: BatchRow) -> list[int]:
    counts = list(row.counts) + [0] * (len(TaskState) - len(row.counts))
    if row.attached:
        numbers = array("q")
        numbers.frombytes(row.attached)
        for state in backend.lookups.states(numbers.tolist()).values():
            counts[state] += 1
    return counts


def pause(call: Call) -> ChangeAnswer:
    reason = call.request_body(ReasonRequest).reason or "a person asked for it"
    return _set_paused(call, reason)


def resume(call: Call) -> ChangeAnswer:
    return _set_paused(call, "")


def _set_paused(call: Call, reason: str) -> ChangeAnswer:
    number = call.number()
    if call.backend.reads.batch(number) is None:
        raise not_found(f"there is no batch {number}")
    return done(call, PauseAsked(batch=number, reason=reason))
