"""A task file on the user's machine: read, checked as the boss will check it, and ready to be sent.

It is the client's half of the intake: `read_file` and `check` are what `push_tasks.py` calls. Nothing here
talks to a boss; what only the boss can know (tasks and files of earlier pushes) stays open and is a
warning.
"""

from __future__ import annotations

import stat
from array import array
from collections.abc import Iterable, Iterator, Set
from hashlib import blake2b
from pathlib import Path

import msgspec

from boss.core.model import Submission
from boss.intake import describe, stream
from boss.intake.collector import Collector
from boss.intake.create_ids import create_ids, placeholder
from boss.intake.document import JSON_ERRORS, malformed, open_document
from boss.intake.errors import Here, InputRejectedError, InputRejection, InputRejections, suggestion
from boss.intake.finish import missing_warnings
from boss.intake.local_files import FoundFiles, LocalFile, find_local_files
from boss.intake.own_parts import OwnParts
from boss.intake.producers import named
from boss.intake.shape import TaskGraph, graph_of

#: A task file is no larger.
FILE_BYTES = 1024**3
_CHUNK = 256 * 1024
_WARNINGS = 20


class PushOptions(msgspec.Struct, kw_only=True, frozen=True):
    """What the command line says about a push."""

    project: str = "default"
    #: Overrides the file's own name.
    name: str = ""
    merge_strategy: str = ""
    allow_shared_results: bool = False
    #: As `overwrite_result: false` on every task that has results.
    skip_existing: bool = False
    #: Ids come from contents; those of the file are names inside it only, and may be left out.
    create_ids: bool = False
    #: Who pushes it, as the boss records it.
    submitter: str = ""
    prune: bool = False
    dry_run: bool = False
    confirmed: bool = False
    #: The longest description of one task.
    task_bytes: int = stream.TASK_BYTES


class TaskFile(msgspec.Struct, kw_only=True):
    """A task file in which nothing is wrong."""

    path: str
    header: stream.Header
    #: The lines of the tasks, in pieces.
    chunks: list[bytes]
    #: To be sent along: their names and digests are in the header.
    files: list[LocalFile]
    tasks: int
    inits: int
    #: (task, id): dependencies on tasks that are not in the file.
    external: list[tuple[str, str]]
    warnings: list[str]


class CheckedFile(TaskFile, kw_only=True):
    """One that was checked without a boss."""

    graph: TaskGraph


def encode_stream(task_file: TaskFile) -> Iterator[bytes]:
    """The canonical stream, in pieces fit for a streamed HTTP request."""
    yield stream.encoder.encode(task_file.header) + b"\n"
    yield from task_file.chunks


_DEFAULT_OPTIONS = PushOptions()


def check(path: str | Path, options: PushOptions = _DEFAULT_OPTIONS) -> CheckedFile:
    """As `read_file`, for a check without a boss: dependencies that are not in the file become warnings."""
    task_file, submission = _Reading(Path(path), options).read()
    near = {id: suggestion(id, _ids(task_file)) for id in dict.fromkeys(id for _, id in task_file.external[:_WARNINGS])}
    warnings = [
        f'task "{task}": the dependency "{id}" is not in this file; that is right only if an earlier push brought it. '
        f"{near[id]}".rstrip()
        for task, id in task_file.external[:_WARNINGS]
    ]
    if len(task_file.external) > _WARNINGS:
        warnings.append(f"... and {len(task_file.external) - _WARNINGS:,} more dependencies that are not in this file")
    fields = {**msgspec.structs.asdict(task_file), "warnings": warnings + task_file.warnings}
    return CheckedFile(**fields, graph=graph_of(submission))


def _ids(task_file: TaskFile) -> list[str]:
    """Some ids to suggest from."""
    return [line.id for line in stream.decode_lines(b"".join(task_file.chunks[:4]))]


def read_file(path: str | Path, options: PushOptions = _DEFAULT_OPTIONS) -> TaskFile:
    """Read and check a task file. Raises InputRejectedError with all that is wrong."""
    return _Reading(Path(path), options).read()[0]


def _read(path: Path) -> bytes:
    try:
        size, mode = path.stat().st_size, path.stat().st_mode
        if size > FILE_BYTES:
            raise _too_large(path, f"{size:,}")
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            raise InputRejectedError([InputRejection(file=str(path), text="is a device, not a task file")])
        with path.open("rb") as file:
            content = file.read(FILE_BYTES + 1)  # a pipe has no size, and perhaps no end
        if len(content) > FILE_BYTES:
            raise _too_large(path, f"more than {FILE_BYTES:,}")
        return content.removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise InputRejectedError([InputRejection(file=str(path), text=f"cannot be read: {error.strerror}")]) from None


def _too_large(path: Path, size: str) -> InputRejectedError:
    text = f"has {size} bytes; a task file has at most {FILE_BYTES:,}"
    return InputRejectedError([InputRejection(file=str(path), text=text, hint="Push it in parts.")])


def _of_its_own(names: list[str], results: set[str]) -> Set[str]:
    """Requirements of a task that are, or lie in, or hold, one of its own results."""
    if len(names) * len(results) > 100:
        return named(names, [(result, 0) for result in results]).keys()
    return {
        name
        for name in names
        for result in results
        if name == result or name.startswith(f"{result}/") or result.startswith(f"{name}/")
    }


def _digests(found: FoundFiles) -> dict[str, str]:
    """Name -> digest of what is sent along; that of a folder speaks of all names and digests in it."""
    digests = {file.sent.name: file.sent.digest for file in found.files}
    for folder in found.folders:
        inside = [(inner, digests[f"{folder.name}/{inner}"]) for inner in folder.files]
        said = stream.encoder.encode((inside, folder.empty))
        digests[folder.name] = blake2b(said, digest_size=32).hexdigest()
    return digests


class _Reading:
    """One pass over a document; see `read`."""

    def __init__(self, path: Path, options: PushOptions) -> None:
        """Raises InputRejectedError: the file cannot be read, or is no JSON."""
        self._document = open_document(_read(path), str(path))
        self._path = path
        self._options = options
        self._rejections = InputRejections()
        self._chunks: list[bytes] = []
        #: Position in the file of each line of the stream: faulty tasks have no line.
        self._position_of = array("I")
        #: Name of a requirement -> the first (task, position) that has it.
        self._needed: dict[str, tuple[str, int]] = {}
        self._produced: set[str] = set()
        #: Names that a task both needs and writes: it needs what was there before.
        self._renewed: set[str] = set()
        self._parts = OwnParts(path.parent)

    def read(self) -> tuple[TaskFile, Submission]:
        dialect = describe.DATABASE if self._is_database() else describe.OWN
        if self._options.create_ids:  # which need all tasks and all files
            lines = list(self._read_lines(dialect))
            found = self._find_files()
            create_ids(lines, _digests(found))
            self._encode(lines)
        else:
            self._encode(self._read_lines(dialect))
            found = self._find_files()
        header = self._header(dialect.name, found)
        submission = self._collect(header)
        if self._rejections.count or submission is None:
            raise self._located_errors(dialect)
        used = {file.name for file in submission.files}
        task_file = TaskFile(
            path=str(self._path),
            header=header,
            chunks=self._chunks,
            files=[file for file in found.files if file.sent.name in used],
            tasks=len(submission.ids),
            inits=len(submission.inits),
            external=[(submission.ids[index], id) for index, id in submission.external],
            warnings=missing_warnings(submission, ()) + submission.warnings,
        )
        return task_file, submission

    def _is_database(self) -> bool:
        tasks = self._document.tasks
        if not self._document.is_array or not tasks:
            return False
        try:
            return describe.is_database(msgspec.json.decode(tasks[0]))
        except JSON_ERRORS:
            return False

    def _read_lines(self, dialect: describe.Dialect) -> Iterator[stream.StreamTask]:
        defaults = self._defaults()
        for position, text in enumerate(self._document.tasks, 1):
            line = self._read_task(position, text, dialect, defaults)
            if line is not None:
                self._position_of.append(position)
                yield line

    def _encode(self, lines: Iterable[stream.StreamTask]) -> None:
        piece = bytearray()
        for line in lines:
            stream.encoder.encode_into(line, piece, len(piece))
            piece += b"\n"
            if len(piece) > _CHUNK:
                self._chunks.append(bytes(piece))
                piece.clear()
        if piece:
            self._chunks.append(bytes(piece))

    def _defaults(self) -> dict[str, object]:
        if "defaults" not in self._document.parts:
            return {}
        return describe.read_defaults(self._document.parts["defaults"], self._options.project, self._rejections)

    def _read_task(
        self, position: int, text: msgspec.Raw, dialect: describe.Dialect, defaults: dict[str, object]
    ) -> stream.StreamTask | None:
        here = Here(self._rejections, "", position)
        try:
            task = msgspec.json.decode(text)
        except JSON_ERRORS as error:
            base = self._document.places([position])[position]
            self._rejections.absorb([malformed(self._document, error, base)])
            return None
        if self._options.create_ids and isinstance(task, dict):
            task.setdefault(dialect.id_field, placeholder(position))
        line = describe.describe(task, dialect, defaults, here)
        if line is not None and (line.requirements or b'"results"' in bytes(line.execution)):
            self._note_files(line, position)
            self._parts.note(line)
        return line

    def _note_files(self, line: stream.StreamTask, position: int) -> None:
        results = {item.target for item in stream.decode_execution(line.execution).results}
        self._produced |= results
        names = [name for name, _ in line.requirements]
        for name in names:
            self._needed.setdefault(name, (line.id, position))
        if results and names:
            self._renewed |= _of_its_own(names, results)

    def _find_files(self) -> FoundFiles:
        made = named(self._needed, [(result, 0) for result in self._produced])
        names = [name for name in self._needed if name not in made or name in self._renewed]

        def refuse(name: str, why: str) -> None:
            task, position = self._needed[name]
            self._rejections.add(why, task=task, position=position, field="requirements")

        return find_local_files(self._path.parent, names, refuse)

    def _header(self, dialect: str, found: FoundFiles) -> stream.Header:
        name = self._document.parts.get("name", "")
        if not isinstance(name, str):
            self._rejections.add("is no text", field="name")
            name = ""
        return stream.Header(
            version=stream.VERSION,
            project=self._options.project,
            name=self._options.name or name or self._path.stem,
            merge_strategy=self._options.merge_strategy,
            allow_shared_results=self._options.allow_shared_results,
            submitter=self._options.submitter,
            source=blake2b(str(self._path.absolute()).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest(),
            named=bool(self._options.name or name),
            created_ids=self._options.create_ids,
            prune=self._options.prune,
            dry_run=self._options.dry_run,
            confirmed=self._options.confirmed,
            dialect=dialect,
            tasks=len(self._position_of),
            files=[file.sent for file in found.files],
            folders=found.folders,
            networks=self._networks(found),
            skip_existing=self._options.skip_existing,
        )

    def _networks(self, found: FoundFiles) -> dict[str, str]:
        networks = {}
        for file in found.files:
            if file.sent.name in self._parts.networks:
                try:
                    networks[file.sent.name] = self._parts.network(file.path)
                except OSError as error:
                    self._rejections.add(f"`{file.path}` cannot be read: {error.strerror}", field="requirements")
        return networks

    def _collect(self, header: stream.Header) -> Submission | None:
        """What the boss will say to it."""
        collector = Collector(self._options.task_bytes)
        try:
            collector.feed(stream.encoder.encode(header) + b"\n")
            for chunk in self._chunks:
                collector.feed(chunk)
            return collector.finish()
        except InputRejectedError as errors:
            for rejection in errors.rejections:
                rejection.position = self._position_of[rejection.position - 1] if rejection.position else 0
            self._rejections.absorb(errors.rejections, errors.more)
            return None

    def _located_errors(self, dialect: describe.Dialect) -> InputRejectedError:
        """All rejections in the order of the file, each with its line."""
        rejections = self._rejections.kept
        self._find_positions(rejections, dialect.id_field)
        places = self._document.places(rejection.position for rejection in rejections if rejection.position)
        for rejection in rejections:
            rejection.file = self._document.file
            if rejection.position and not rejection.line:
                rejection.line = self._document.line_of_field(
                    rejection.position, places[rejection.position], rejection.field
                )
        rejections.sort(key=lambda rejection: (rejection.position, rejection.line))
        return self._rejections.errors()

    def _find_positions(self, rejections: list[InputRejection], id_field: str) -> None:
        """Rejections of the whole graph name a task by its id only."""
        wanted = {rejection.task for rejection in rejections if rejection.task and not rejection.position}
        if not wanted:
            return
        found: dict[str, int] = {}
        for position, text in enumerate(self._document.tasks, 1):
            try:
                id = msgspec.json.decode(text).get(id_field)
            except (*JSON_ERRORS, AttributeError):
                continue
            if isinstance(id, str) and id in wanted:
                found.setdefault(id, position)
        for rejection in rejections:
            rejection.position = rejection.position or found.get(rejection.task, 0)
