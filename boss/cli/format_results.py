"""What `admin.py ls` and `du` print, as text from the API's answers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from boss.api.schema import ResultAnswer, UsageAnswer
from boss.cli.format_tasks import moment
from boss.cli.terminal import harmless, plural, size_words


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
        when = moment(result.time) if result.time else "-"
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
    yield f"Sent with pushes (all projects): {size_words(last.sent_bytes)} in {plural(last.sent_files, 'file')}."
    if last.kept_bytes is not None:
        yield f"Kept by digest, under no name: {size_words(last.kept_bytes)}."
    if last.free_bytes is not None:
        yield f"Free on the datastore's disk: {size_words(last.free_bytes)}."


def _line(count: int, files: int, name: str) -> str:
    return f"{size_words(count):>12}  {plural(files, 'file'):>12}  {harmless(name)}"
