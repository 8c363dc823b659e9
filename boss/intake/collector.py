"""The boss's end of a push: takes the canonical stream in pieces and gives a Submission, or all its rejections.

It trusts nothing of the sender, who may be curl. Memory grows with the columns only: a piece is cut into
lines, each line is judged and put into columns, and forgotten. Not to be used after an error or `finish`.
"""

from __future__ import annotations

import re

import msgspec

from boss.core.model import SentFile, Submission
from boss.intake import rules, stream
from boss.intake.columns import OWN_DIGEST, Columns, place_and_text
from boss.intake.errors import SHOWN, InputRejections
from boss.intake.finish import finish

#: A push holds no more tasks than fit the 32-bit numbers of its columns, with a wide margin.
MAX_TASKS = 100_000_000

_DIGEST = re.compile(r"b2:[0-9a-f]{64}")
_FIRST_ID = re.compile(rb'\s*\{\s*"id"\s*:\s*("(?:[^"\\]|\\.){0,300}")')
_STRATEGIES = ("", "replace", "keep_succeeded")
_PIECE = 1024 * 1024

#: What the fields are called in files of the database era.
DATABASE_WORDS = {"id": "key", "commands": "cmd", "requirements": "requires", "dependencies": "depends-on"}


class Collector:
    """`feed` the pieces as they come, then `finish`."""

    def __init__(self, task_bytes: int = stream.TASK_BYTES, shown: int = SHOWN, max_tasks: int = MAX_TASKS) -> None:
        self._task_bytes = task_bytes
        self._max_tasks = max_tasks
        self._rejections = InputRejections(shown)
        self._pending = bytearray()
        self._skipping = False
        self._columns: Columns | None = None
        self._position = 0
        self.header: stream.Header | None = None

    def feed(self, chunk: bytes) -> None:
        """The next piece, of any size, cut anywhere. Raises InputRejectedError when going on would be useless."""
        for first in range(0, len(chunk), _PIECE):
            self._feed(chunk[first : first + _PIECE])

    def _feed(self, chunk: bytes) -> None:
        end = chunk.rfind(b"\n") + 1
        if not end:
            self._keep(chunk)
            return
        start = chunk.find(b"\n") + 1 if self._skipping else 0
        self._skipping = False
        self._pending += chunk[start:end]
        block = bytes(self._pending)
        self._pending.clear()
        self._take_block(block)
        self._keep(chunk[end:])

    def _keep(self, part: bytes) -> None:
        """The beginning of a line whose end has not come."""
        if self._skipping:
            return
        self._pending += part
        if self._columns is None:
            if len(self._pending) > stream.HEADER_BYTES:
                self._rejections.add(f"the first line of the push is longer than {stream.HEADER_BYTES:,} bytes")
                raise self._rejections.errors()
        elif len(self._pending) > self._task_bytes:
            self._position += 1
            self._rejection_of_size(self._position, self._pending)
            self._pending.clear()
            self._skipping = True

    def _take_block(self, block: bytes) -> None:
        if self._columns is None:
            head, _, block = block.partition(b"\n")
            self._columns = self._begin(head)
        try:
            tasks = stream.decode_lines(block)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._take_one_by_one(block, self._columns)
            return
        if len(block) > self._task_bytes and max(map(len, block.split(b"\n"))) > self._task_bytes:
            self._take_one_by_one(block, self._columns)
            return
        take = self._columns.take
        for position, task in enumerate(tasks, self._position + 1):
            take(task, position)
        self._position += len(tasks)
        self._check_count()

    def _take_one_by_one(self, block: bytes, columns: Columns) -> None:
        """A line of this block is faulty: find out which, and take the others."""
        for line in block.split(b"\n"):
            if not line.strip():
                continue
            self._position += 1
            if len(line) > self._task_bytes:
                self._rejection_of_size(self._position, line)
                continue
            try:
                task = stream.decode_line(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                field, text = place_and_text(error)
                self._rejections.add(text, position=self._position, field=field)
                continue
            columns.take(task, self._position)
        self._check_count()

    def _rejection_of_size(self, position: int, line: bytes | bytearray) -> None:
        """`line`: as much of it as there is; its id comes first."""
        text = f"its description is longer than {self._task_bytes:,} bytes (the setting max_task_bytes)"
        hint = "Put large data into a file and name it in `requirements`."
        self._rejections.add(text, hint, task=_id_at_start(line), position=position)

    def _check_count(self) -> None:
        if self._position > self._max_tasks:
            self._rejections.add(f"more than {self._max_tasks:,} tasks in one push", "Push them in parts.")
            raise self._rejections.errors()

    def _begin(self, line: bytes) -> Columns:
        """Take the header; without a right one nothing else can be judged."""
        try:
            header = stream.decode_header(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._rejections.add(
                "the first line is no header of a push: " + ": ".join(filter(None, place_and_text(error)))
            )
            raise self._rejections.errors() from None
        self._check_header(header)
        self._rejections.raise_if_any()
        self.header = header
        return Columns(header, self._rejections)

    def _check_header(self, header: stream.Header) -> None:
        if header.version != stream.VERSION:
            text = f"the push is of version {header.version}; this boss speaks version {stream.VERSION}"
            self._rejections.add(text, "Update the older side.")
            return
        if reason := rules.wrong_project(header.project):
            self._rejections.add(reason, field="project")
        if header.merge_strategy not in _STRATEGIES:
            self._rejections.add(
                f"`{header.merge_strategy}` is neither replace nor keep_succeeded", field="merge_strategy"
            )
        if len(header.name) > 255 or rules.wrong_label(header.name):
            self._rejections.add("is longer than 255 characters or has control characters", field="name")
        if len(header.submitter) > 255 or rules.wrong_label(header.submitter):
            self._rejections.add("is longer than 255 characters or has control characters", field="submitter")
        if header.source and not OWN_DIGEST.fullmatch(header.source):
            self._rejections.add("is no digest (32 hexadecimal digits)", field="source")
        self._check_files(header.files, header.project)
        self._check_folders(header)
        for name, digest in header.networks.items():
            if not OWN_DIGEST.fullmatch(digest):
                self._rejections.add(f"`{name[:80]}` has no right digest (32 hexadecimal digits)", field="networks")

    def _check_files(self, files: list[SentFile], project: str) -> None:
        names = set()
        for place, file in enumerate(files):
            field = f"files[{place}]"
            if reason := rules.wrong_name(file.name, project):
                self._rejections.add(reason, field=field)
            if not _DIGEST.fullmatch(file.digest) or file.size < 0:
                self._rejections.add("has no right digest (`b2:` and 64 hexadecimal digits) or size", field=field)
            if file.name in names:
                self._rejections.add(f"`{file.name}` stands twice", field=field)
            names.add(file.name)

    def _check_folders(self, header: stream.Header) -> None:
        names = {file.name for file in header.files}
        seen = set(names)
        for place, folder in enumerate(header.folders):
            field = f"folders[{place}]"
            inner = [f"{folder.name}/{path}" for path in (*folder.files, *folder.empty)]
            reason = next(filter(None, (rules.wrong_name(name, header.project) for name in (folder.name, *inner))), "")
            if reason:
                self._rejections.add(reason, field=field)
            if folder.name in seen:
                self._rejections.add(f"`{folder.name}` stands twice", field=field)
            seen.add(folder.name)
            missing = next((name for name in inner[: len(folder.files)] if name not in names), None)
            if missing is not None:
                self._rejections.add(f"`{missing}` is not among the files", field=field)

    def finish(self) -> Submission:
        """The Submission, or InputRejectedError with everything that is wrong."""
        if self._pending:
            block = bytes(self._pending)
            self._pending.clear()
            self._take_block(block)
        if self._columns is None or self.header is None:
            self._rejections.add("the push is empty: not even a header came")
            raise self._rejections.errors()
        if self.header.tasks not in (-1, self._position):
            text = f"{self.header.tasks:,} tasks were announced and {self._position:,} came: the push was cut off"
            self._rejections.add(text, "Push again.")
        submission = finish(self._columns, self.header)
        if self.header.dialect == "database":
            self._speak_as_database()
        self._rejections.raise_if_any()
        return submission

    def _speak_as_database(self) -> None:
        for rejection in self._rejections.kept:
            word = re.match(r"\w+", rejection.field)
            if word and word.group() in DATABASE_WORDS:
                rejection.field = DATABASE_WORDS[word.group()] + rejection.field[word.end() :]


def _id_at_start(line: bytes | bytearray) -> str:
    """The id of a task of which only the beginning is here; empty where that does not begin with it."""
    found = _FIRST_ID.match(line)
    try:
        return msgspec.json.decode(found[1], type=str) if found else ""
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
