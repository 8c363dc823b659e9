"""Handlers for results: lists, one with its content, and how much space they take.

Lists and sums come from the database; content from the datastore's tree where that is on this disk, else by way of
`fetching`. An answer is the version that the database names, never just what the name holds now.
"""

from __future__ import annotations

import asyncio
import os
from array import array
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from boss.api.errors import HttpError, bad_input, not_found
from boss.api.from_datastore import AT_ONCE, DatastoreBusyError, ResultUnavailableError
from boss.api.handlers.changes import known_batch, no_task
from boss.api.local_tree import ContentMissingError, LocalTree
from boss.api.responses import MEDIA, file_response, first_byte, json_response
from boss.api.result_bundle import MAX_RESULTS, RESULT_BYTES, packed
from boss.api.routes import Call
from boss.api.schema import BundleRequest, FolderAnswer, ResultAnswer, ResultList, UploadAnswer, UsageAnswer
from boss.core.attempts import tree_prefix
from boss.core.state import runs
from boss.database.views import LARGEST, ResultLine
from wire.patterns import Pattern, folders_above, is_pattern

_LIMIT, _MAX_LIMIT = 1000, 10_000
#: Rows read for one answer: a pattern that few names match continues in the next one.
_MAX_ROWS = 50_000

Fits = Callable[[str], bool]


# --- which there are -------------------------------------------------------------------------------


def listing(call: Call) -> ResultList:
    """One page of results, in order of task; `next` is the `after` of the next one. Blocks on the database.

    Raises HttpError 400: `limit` or `after` is wrong, or both batch and task are given; 404: unknown ones.
    """
    limit = call.count("limit", _MAX_LIMIT) or _LIMIT
    project, wanted, after = call.text("project", "default"), call.text("match").strip("/"), _place(call.text("after"))
    spans = _spans(call, project)
    exact = call.backend.reads.result(project, wanted) if wanted and spans is None else None
    if exact is not None:
        return ResultList(results=[result_answer(exact)] if after == (0, b"") else [])
    found, next_place = _found(call, project, spans, fitting(wanted), after, limit)
    following = None if next_place is None else f"{next_place[0]}-{next_place[1].hex()}"
    return ResultList(results=[result_answer(line) for line in found], next=following)


def _found(
    call: Call, project: str, spans: list[range] | None, fits: Fits, after: tuple[int, bytes], limit: int
) -> tuple[list[ResultLine], tuple[int, bytes] | None]:
    """Up to `limit` results, and where the next answer begins; None: that is all."""
    found: list[ResultLine] = []
    if spans is not None and not spans:
        return found, None
    first, last = (spans[0].start, spans[-1].stop - 1) if spans else (0, LARGEST)
    rows_read = 0
    while rows_read < _MAX_ROWS:
        page = call.backend.reads.results_of(project, first, last, after, limit)
        for line in page:
            after = (line.task, line.key)
            if (spans is None or _within(spans, line.task)) and fits(line.name):
                found.append(line)
                if len(found) == limit:
                    return found, after
        rows_read += len(page)
        if len(page) < limit:
            return found, None
    return found, after


def _place(text: str) -> tuple[int, bytes]:
    """Where a list goes on, from `next` of the answer before."""
    if not text:
        return 0, b""
    number, _, key = text.partition("-")
    try:
        task = int(number)
        if not 0 <= task <= LARGEST:
            raise ValueError("no number of a task")
        return task, bytes.fromhex(key)
    except ValueError:
        raise bad_input(f"after is {text[:80]!r}; give `next` of the answer before") from None


def _spans(call: Call, project: str) -> list[range] | None:
    """Numbers of the tasks whose results are wanted, in order; None: of all."""
    batch, task = call.whole("batch", 0), call.text("task")
    if batch and task:
        raise bad_input("name a batch or a task, not both")
    if task:
        number = call.backend.lookups.task_numbers(project, [task]).get(task)
        if number is None:
            raise not_found(no_task(project, task))
        return [range(number, number + 1)]
    if not batch:
        return None
    row = known_batch(call.backend, batch)
    own = [range(row.first, row.first + row.count)] if row.count else []
    return sorted(own + runs(sorted(array("q", row.attached))), key=lambda span: span.start)


def _within(spans: list[range], number: int) -> bool:
    place = bisect_right(spans, number, key=lambda span: span.start) - 1
    return place >= 0 and number in spans[place]


def fitting(wanted: str) -> Fits:
    """Names that are meant: the name itself, what fits a pattern, and all below a folder that is named so or fits."""
    if wanted in ("", "."):
        return lambda _name: True
    if not is_pattern(wanted):
        below = f"{wanted}/"
        return lambda name: name == wanted or name.startswith(below)
    pattern = Pattern(wanted)
    return lambda name: any(map(pattern.matches, (name, *folders_above(name))))


def result_answer(line: ResultLine) -> ResultAnswer:
    """The result as it is answered: size in bytes, time in seconds since 1970."""
    return ResultAnswer(
        project=line.project,
        name=line.name,
        size=line.size,
        digest=line.digest,
        task=line.id,
        number=line.task,
        attempt=line.attempt,
        time=line.time,
    )


# --- one with its content --------------------------------------------------------------------------


async def content(call: Call) -> Response:
    """The bytes of one result; 202 and how far it is where it is still on its way from the datastore.

    Waits up to 20 s for the datastore. Raises HttpError 404: there is none; 409: it is another content by now, or not
    available; 416: as `first_byte`; 503: the datastore is away or busy.
    """
    line = await run_in_threadpool(_wanted, call)
    first_byte(call.request, line.size)
    name = tree_prefix(line.project) + line.name
    if call.services.tree is not None:
        try:
            file = await run_in_threadpool(call.services.tree.open_version, name, line.digest, line.size)
        except ContentMissingError as error:
            raise HttpError(409, str(error)) from None
        return file_response(call.request, file, line.size, line.digest)
    return await _from_elsewhere(call, name, line)


def _wanted(call: Call) -> ResultLine:
    project, name, digest = call.text("project"), call.text("name"), call.text("digest")
    line = call.backend.reads.result(project, name)
    if line is None:
        raise not_found(f"there is no result {name!r} in project {project!r}")
    if digest not in ("", line.digest):
        raise HttpError(409, f"{name!r} has been written again since it was listed; list it again")
    return line


async def _from_elsewhere(call: Call, name: str, line: ResultLine) -> Response:
    fetching = call.services.fetching
    if fetching is None:
        raise HttpError(
            503,
            "the datastore is on another host, and no boss runs that could fetch from it; start one: python -m boss",
        )
    if not fetching.spool.has(line.digest) and not (await run_in_threadpool(call.backend.view)).datastore_connected:
        raise HttpError(503, "the datastore is not connected; ask again when it is")
    try:
        file = await fetching.opened(call.backend, name, line.digest, line.size)
    except DatastoreBusyError as error:
        raise HttpError(503, str(error)) from None
    except ResultUnavailableError as error:
        raise HttpError(409, f"{line.name!r} is not available from the datastore: {error}") from None
    if file is None:
        return json_response(
            UploadAnswer(digest=line.digest, have=fetching.spool.have(line.digest), complete=False), 202
        )
    return file_response(call.request, file, line.size, line.digest)


async def bundle(call: Call) -> Response:
    """Many small ones, one after another (`boss.api.result_bundle`); what is not available is left out.

    Raises HttpError 413: more than 500.
    """
    asked = call.request_body(BundleRequest)
    if len(asked.results) > MAX_RESULTS:
        raise HttpError(413, f"{len(asked.results):,} results in one question; ask for at most {MAX_RESULTS}")
    return StreamingResponse(_entries(call, await run_in_threadpool(_small, call, asked)), media_type=MEDIA)


def _small(call: Call, asked: BundleRequest) -> list[tuple[int, ResultLine]]:
    """Those that can go into a bundle, with their places in the question."""
    lines = call.backend.reads.results_named(asked.project, [item.name for item in asked.results])
    by_name = {line.name: line for line in lines if line.size <= RESULT_BYTES}
    found = ((at, by_name.get(item.name), item.digest) for at, item in enumerate(asked.results))
    return [(at, line) for at, line, digest in found if line is not None and line.digest == digest]


async def _entries(call: Call, wanted: list[tuple[int, ResultLine]]) -> AsyncIterator[bytes]:
    for first in range(0, len(wanted), AT_ONCE):
        part = wanted[first : first + AT_ONCE]
        if call.services.tree is not None:
            yield await run_in_threadpool(_read_some, call.services.tree, part)
        else:
            contents = await asyncio.gather(*(_fetched(call, line) for _, line in part))
            yield b"".join(
                packed(at, content) for (at, _), content in zip(part, contents, strict=True) if content is not None
            )


def _read_some(tree: LocalTree, part: list[tuple[int, ResultLine]]) -> bytes:
    entries = []
    for at, line in part:
        try:
            file = tree.open_version(tree_prefix(line.project) + line.name, line.digest, line.size)
        except (ContentMissingError, OSError):
            continue  # asked for alone, it is answered with the reason
        entries.append(packed(at, _all_of(file)))
    return b"".join(entries)


async def _fetched(call: Call, line: ResultLine) -> bytes | None:
    fetching = call.services.fetching
    if fetching is None:
        return None
    try:
        file = await fetching.opened(call.backend, tree_prefix(line.project) + line.name, line.digest, line.size)
    except (DatastoreBusyError, ResultUnavailableError):
        return None
    return None if file is None else await run_in_threadpool(_all_of, file)


def _all_of(file: int) -> bytes:
    try:
        return os.pread(file, RESULT_BYTES, 0)
    finally:
        os.close(file)


# --- space -----------------------------------------------------------------------------------------


def usage(call: Call) -> UsageAnswer:
    """How many files and bytes results take, by folder below the given one; what is kept and free on the datastore.

    Blocks on the database and the tree. Raises OSError: the tree cannot be looked at.
    """
    project, folder = call.text("project", "default"), call.text("folder").strip("/")
    sums = call.backend.reads.folder_sums(project, "" if folder == "." else folder)
    sent_files, sent_bytes = call.backend.reads.sent_sum()
    answer = UsageAnswer(
        folders=[FolderAnswer(name=name, files=files, bytes=size) for name, (files, size) in sums.items()],
        files=sum(files for files, _ in sums.values()),
        bytes=sum(size for _, size in sums.values()),
        sent_files=sent_files,
        sent_bytes=sent_bytes,
    )
    if call.services.tree is not None:
        answer.kept_files, answer.kept_bytes = call.services.tree.kept()
        answer.free_bytes = call.services.tree.free_bytes()
    else:
        answer.free_bytes = call.backend.view().datastore_free or None
    return answer
