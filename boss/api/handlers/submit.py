"""Handler for a push: the graph as a stream into a Collector, its files looked for in the spool, one event.

Nothing is kept of a push that is not accepted; the answer has all problems, as `boss.intake` words them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from boss.api.errors import HttpError
from boss.api.handlers.changes import refusal
from boss.api.handlers.files import on_datastore
from boss.api.published import UNSEEN, without_results
from boss.api.responses import json_response
from boss.api.routes import Call
from boss.api.schema import SubmitAnswer
from boss.api.spool import blob_path
from boss.common.plural import plural
from boss.core.events import Submitted
from boss.core.model import Submission
from boss.core.plan import Plan
from boss.core.plan import lines as lines_of
from boss.core.reasons import RejectionKind
from boss.core.rows import Known
from boss.intake.collector import Collector
from boss.intake.errors import InputRejectedError

#: Status of a push whose files are not all here: send them, then push again.
FILES_MISSING = 424
#: Status of a push that would end what runs now: push again with `confirmed`.
UNCONFIRMED = 428

_FEED_BYTES = 1 << 20
_FILES_SHOWN = 20
#: What a row of tasks, files or results takes beside its texts; and what is kept free for all that follows a push.
_ROW_BYTES, _RESERVE_BYTES = 300, 2_000_000


async def submit(call: Call) -> Response:
    """A push: reads the graph, then waits for the commit.

    Raises HttpError 400: problems in it, as details; 409: the boss refuses; 413: too large; 424: files are not here;
    428: not confirmed; 503: the boss is stopping or its database away; 507: the disk has no space for it.
    """
    chunks = call.request.stream()
    try:
        submission = await _receive(call, chunks)
    except InputRejectedError as errors:
        await _drain(call, chunks)
        raise _bad_push(errors) from None
    detach = bool(call.query.get("detach", False))
    return json_response(await run_in_threadpool(_ask, call, submission, detach))


async def _receive(call: Call, chunks: AsyncIterator[bytes]) -> Submission:
    collector, buffer, size = Collector(call.services.task_limit_bytes), bytearray(), 0
    async for chunk in chunks:
        size += len(chunk)
        if size > call.services.submit_limit_bytes:
            raise HttpError(
                413, f"the push is larger than {call.services.submit_limit_bytes:,} bytes; push it in parts"
            )
        buffer += chunk
        if len(buffer) >= _FEED_BYTES:
            await run_in_threadpool(collector.feed, bytes(buffer))
            buffer.clear()
    await run_in_threadpool(collector.feed, bytes(buffer))
    return await run_in_threadpool(collector.finish)


async def _drain(call: Call, chunks: AsyncIterator[bytes]) -> None:
    """Read what still comes: a sender hears an answer only once it has stopped sending."""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > call.services.submit_limit_bytes:
            return


def _bad_push(errors: InputRejectedError) -> HttpError:
    lines = [str(problem) for problem in errors.rejections]
    count = len(lines) + errors.more
    if errors.more:
        lines.append(f"... and {errors.more:,} more like these")
    return HttpError(400, f"the push has {plural(count, 'problem')}; nothing of it was accepted", lines)


def _ask(call: Call, submission: Submission, detach: bool) -> SubmitAnswer:
    if not submission.dry_run:
        _require_files(call, submission)
    if call.backend.view().stopping:
        raise HttpError(503, "this boss is stopping; push again in a moment")
    if not submission.dry_run:
        _require_space(call, submission)
    gone = without_results(call.backend, call.services.tree, submission)
    if gone is None:
        submission.warnings.append(UNSEEN)
    answer = call.backend.ask(Submitted(submission=submission, known=Known(), gone=gone or []))
    if answer.rejections:
        kind = answer.rejections[0].kind
        if kind is RejectionKind.UNAVAILABLE:
            raise HttpError(503, answer.rejections[0].text)
        if kind is RejectionKind.UNCONFIRMED:
            lines = [rejection.text for rejection in answer.rejections]
            raise HttpError(UNCONFIRMED, "tasks that run now would begin again; nothing was changed", lines)
        raise refusal(answer.rejections)
    batch = int(str(answer.value.get("batch", 0)))
    if detach and batch:
        call.backend.detach(batch)
    plan = answer.value.get("plan")
    if not isinstance(plan, Plan):
        plan = Plan(tasks=len(submission.ids))
    names = call.backend.lookups.ids(plan.outside_numbers) if plan.outside_numbers else {}
    return SubmitAnswer(
        batch=batch,
        done=answer.value,
        warnings=_warnings(submission, answer.value),
        carry_on=call.backend.carry_on() if batch else "",
        plan=lines_of(plan, names, submission.project),
    )


def _require_space(call: Call, submission: Submission) -> None:
    """A push that the disk has no space for is refused: once it is in the boss's turn, all else would wait for it."""
    free = call.services.database_free_bytes()
    if free is None:
        return
    required = required_bytes(submission)
    if required > free:
        raise HttpError(
            507,
            f"the disk of the boss's database has {max(free, 0) / 1e6:,.1f} MB free, and this push may require "
            f"{required / 1e6:,.1f} MB: nothing of it was accepted; free some space, then push again",
        )


def required_bytes(submission: Submission) -> int:
    """An upper estimate, in bytes: a turn is written into the database's log first, then into its tables."""
    described = sum(map(len, submission.executions)) + sum(map(len, submission.ids))
    rows = _ROW_BYTES * (len(submission.ids) + len(submission.files) + len(submission.results))
    return _RESERVE_BYTES + 2 * (described + rows)


def _warnings(submission: Submission, value: dict[str, object]) -> list[str]:
    warnings = value.get("warnings", [])
    return [str(line) for line in warnings] if isinstance(warnings, list) and warnings else list(submission.warnings)


def _sizes(call: Call, submission: Submission) -> dict[str, int]:
    """Digest -> size of what is here or on the datastore already."""
    sizes, absent = {}, []
    for file in submission.files:
        try:
            sizes[file.digest] = blob_path(call.services.spool.directory, file.digest).stat().st_size
        except FileNotFoundError:
            absent.append(file.digest)
    return sizes | on_datastore(call, absent)


def _require_files(call: Call, submission: Submission) -> None:
    absent, sizes = [], _sizes(call, submission)
    for file in submission.files:
        size = sizes.get(file.digest)
        if size is None:
            absent.append(f"{file.name} ({file.digest}) has not been sent")
        elif size != file.size:
            raise HttpError(400, f"the push states {file.size:,} bytes for {file.name}; what was sent has {size:,}")
    if absent:
        more = [f"... and {len(absent) - _FILES_SHOWN} more"] if len(absent) > _FILES_SHOWN else []
        sentence = "files of the push have not been sent; send them (PUT /api/v1/files/<digest>), then push again"
        raise HttpError(FILES_MISSING, sentence, absent[:_FILES_SHOWN] + more)
