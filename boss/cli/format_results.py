"""Results, the space that they take and the progress of fetching them, as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from boss.api.schema import ResultAnswer, UsageAnswer
from boss.cli.terminal import format_size, harmless
from boss.client.download import Got
from boss.common.plural import plural
from boss.common.times import format_moment

#: Of results that could not be fetched.
_FAILED_SHOWN = 20


def in_order(results: Iterable[ResultAnswer]) -> Iterator[ResultAnswer]:
    """As they come, those of one task by name."""
    for _, group in groupby(results, key=lambda result: result.number):
        yield from sorted(group, key=lambda result: result.name)


def result_lines(results: Iterable[ResultAnswer], long: bool) -> Iterator[str]:
    """A name a line; with `long` size in bytes, time, digest and task before it."""
    for result in results:
        name = harmless(result.name)
        if not long:
            yield name
            continue
        when = format_moment(result.time) if result.time else "-"
        yield f"{result.size:>15,}  {when:<19}  {result.digest}  {harmless(result.task)}  {name}"


def usage_lines(usages: Iterable[tuple[str, UsageAnswer]]) -> Iterator[str]:
    """Of each folder that was asked about: what is below it, folder by folder, and the sum; then the disk."""
    last: UsageAnswer | None = None
    for folder, usage in usages:
        last = usage
        for below in usage.folders:
            name = "/".join(filter(None, (folder, below.name))) if below.name else f"{folder or '.'} (files in it)"
            yield _line(below.bytes, below.files, name)
        yield _line(usage.bytes, usage.files, f"{folder or '.'} in all")
    if last is None:
        return
    yield f"Sent with pushes (all projects): {format_size(last.sent_bytes)} in {plural(last.sent_files, 'file')}."
    if last.kept_bytes is not None:
        yield f"Kept by digest, under no name: {format_size(last.kept_bytes)}."
    if last.free_bytes is not None:
        yield f"Free on the datastore's disk: {format_size(last.free_bytes)}."


def _line(count: int, files: int, name: str) -> str:
    return f"{format_size(count):>12}  {plural(files, 'file'):>12}  {harmless(name)}"


def format_fetching(files: int, of_files: int, count: int, of_bytes: int) -> str:
    """How far it is, beside the progress bar."""
    return f"{files:,} of {plural(of_files, 'file')}, {format_size(count)} of {format_size(of_bytes)}"


def got_line(got: Got, directory: Path) -> str:
    there = f", {got.there:,} existed already" if got.there else ""
    return f"{plural(got.fetched, 'file')} fetched ({format_size(got.bytes)}){there}: {harmless(str(directory))}"


def not_got_lines(got: Got) -> Iterator[str]:
    """The first that failed, and how many more."""
    yield from map(harmless, got.failed[:_FAILED_SHOWN])
    if len(got.failed) > _FAILED_SHOWN:
        yield f"... and {len(got.failed) - _FAILED_SHOWN:,} more"
