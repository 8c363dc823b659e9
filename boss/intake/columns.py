"""The columns that a stream of tasks grows, one task at a time: no object per task stays alive.

It judges each task on its own and remembers of it what the whole graph needs at the end (`finish`). Ids get
a small number at their first mention, as a task or as a dependency, so that file order does not matter.
Equal executions, requirements and profiles are kept once.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple, TypeVar

import msgspec

from boss.core.durations import template_of
from boss.core.model import InitSpec, Profile
from boss.intake import rules
from boss.intake.errors import Here, InputRejections
from boss.intake.stream import (
    CONTENT_FORM,
    Header,
    StreamTask,
    content_of_profile,
    decode_execution,
    decode_inputs,
    decode_profile,
    encoder,
)
from wire.messages import EpanetRun, Execution, Input

#: Digests of a file's path, a table's rows, a network.
OWN_DIGEST = re.compile(r"[0-9a-f]{32}")
#: What `index_of` says of a mentioned id that is no task of this push (so far), or an init task.
UNKNOWN, INIT = -1, -2

#: So many different values are remembered in order to recognise equal ones.
_REMEMBERED = 16_384
#: A task's inputs must fit one message.
INPUT_BYTES = 5_000_000

#: Kinds of commands that one push tells apart; the tasks of all others are of no kind.
_KINDS = 256

T = TypeVar("T")


class _Known(NamedTuple):
    """An execution that was checked."""

    encoded: bytes
    slots: int
    memory: int
    targets: tuple[str, ...]
    #: It has commands or a run: an init task without has nothing to do.
    works: bool
    #: What kind of command it is; 0: of no kind.
    template: int


class Columns:
    """Grows by `take`; `finish.finish` makes a Submission of it."""

    def __init__(self, header: Header, rejections: InputRejections) -> None:
        self.project = header.project
        self.files = {file.name: file for file in header.files}
        self.folders = {folder.name: folder for folder in header.folders}
        self.networks = header.networks
        #: A task whose results all exist succeeds without running, whatever it says itself.
        self.skip_existing = header.skip_existing
        self.rejections = rejections
        self.executions: list[bytes] = []
        self.requirements: list[bytes] = []
        self.contents: list[bytes] = []
        #: Index -> the contents in the form of older programs, where those are other ones.
        self.former_contents: dict[int, tuple[bytes, ...]] = {}
        self.profiles: list[Profile] = []
        self.profile_of = array("I")
        self.starts = array("I", [0])
        #: Dependencies by the number of the id, see `number_of`.
        self.mentioned = array("I")
        self.number_of: dict[str, int] = {}
        #: Number of an id -> index of the task, UNKNOWN or INIT.
        self.index_of = array("i")
        #: Name of a requirement -> tasks that have it.
        self.needed: dict[str, array[int]] = {}
        #: Name of a result -> the first task that declares it; all pairs are in `results`.
        self.producers: dict[str, int] = {}
        self.results: list[tuple[str, int]] = []
        #: (name, first task, other task): two tasks that would write one name.
        self.shared: list[tuple[str, int, int]] = []
        self.inits: list[InitSpec] = []
        self._executions: dict[bytes, _Known] = {}
        self._inputs: dict[tuple[tuple[str, str], ...], bytes] = {}
        self._profiles: dict[tuple[bytes, int, int, bool, int], int] = {}
        self._profile_numbers: dict[bytes, int] = {}
        self._profile_bytes: list[bytes] = []
        #: Number of a profile -> number of the same without `overwrite_result`.
        self._skipped: dict[int, int] = {}
        self._templates: set[int] = set()
        self._here = Here(rejections)

    def take(self, task: StreamTask, position: int) -> None:
        here = self._here
        here.task, here.position = task.id, position
        index = INIT if task.init else len(self.executions)
        if not self._define(task.id, index, here):
            return
        execution = self._execution(bytes(task.execution), here)
        inputs = self._inputs_of(task.requirements, here) if task.requirements else b""
        if task.init:
            self._take_init(task, execution, inputs, here)
            return
        self.executions.append(execution.encoded)
        self.requirements.append(inputs)
        described = profile = self._profile(bytes(task.profile), execution, bool(inputs), here)
        if self.skip_existing and execution.targets:
            profile = self._skipping(profile)
        self.profile_of.append(profile)
        dependencies = self._depend(task, here) if task.dependencies else []
        self.starts.append(len(self.mentioned))
        for name, _ in task.requirements:
            self.needed.setdefault(name, array("I")).append(index)
        for target in execution.targets:
            self._produce(target, index)
        own = self._own_parts(task, inputs, here) if task.rows or self.networks else None
        self.contents.append(self._content(dependencies, inputs, execution.encoded, described, own))
        if own is not None or profile != described:
            former = {self._content(dependencies, inputs, execution.encoded, each) for each in (profile, described)}
            self.former_contents[index] = tuple(sorted(former - {self.contents[-1]}))

    def ids(self) -> list[str]:
        """The ids of the tasks, by index."""
        ids = [""] * len(self.executions)
        for id, number in self.number_of.items():
            index = self.index_of[number]
            if index >= 0:
                ids[index] = id
        return ids

    def _define(self, id: str, index: int, here: Here) -> bool:
        if reason := rules.wrong_id(id):
            here.reject("id", reason)
        number = self.number_of.setdefault(id, len(self.index_of))
        if number == len(self.index_of):
            self.index_of.append(index)
        elif self.index_of[number] == UNKNOWN:
            self.index_of[number] = index
        else:
            here.reject("id", "stands twice in this push", "Each task needs an id of its own.")
            return False
        return True

    def _depend(self, task: StreamTask, here: Here) -> list[str]:
        dependencies = task.dependencies
        if len(dependencies) > 1:
            dependencies = sorted(set(dependencies))
        for id in dependencies:
            if id == task.id:
                here.reject("dependencies", "the task depends on itself")
                continue
            number = self.number_of.get(id)
            if number is None:
                number = self._mention(id, here)
            self.mentioned.append(number)
        return dependencies

    def _mention(self, id: str, here: Here) -> int:
        if reason := rules.wrong_id(id):
            here.reject("dependencies", f"an id in it {reason}")
        number = self.number_of[id] = len(self.index_of)
        self.index_of.append(UNKNOWN)
        return number

    def _produce(self, target: str, index: int) -> None:
        first = self.producers.setdefault(target, index)
        if first != index:
            self.shared.append((target, first, index))
        self.results.append((target, index))

    def _take_init(self, task: StreamTask, execution: _Known, inputs: bytes, here: Here) -> None:
        if task.dependencies:
            here.reject("dependencies", "an init task runs before all others and can depend on none")
        if execution.targets:
            here.reject("results", "an init task runs once per worker and can have no results")
        if execution.encoded.startswith(b'{"epanet"'):
            here.reject("epanet", "an init task has commands")
        if execution.works:
            self.inits.append(InitSpec(id=task.id, execution=execution.encoded, requirements=inputs))
            for name, _ in task.requirements:
                self.needed.setdefault(name, array("I"))

    def _execution(self, encoded: bytes, here: Here) -> _Known:
        known = self._executions.get(encoded)
        if known is not None:
            return known
        before = self.rejections.count
        execution = _decoded(encoded, decode_execution, Execution, here)
        rules.check_execution(execution, self.project, here)
        targets = tuple(item.target for item in execution.results)
        works = bool(execution.commands) or execution.epanet is not None
        template = self._template(execution)
        known = _Known(encoder.encode(execution), execution.slots, execution.memory or 0, targets, works, template)
        if self.rejections.count == before and len(self._executions) < _REMEMBERED:
            self._executions[encoded] = known
        return known

    def _template(self, execution: Execution) -> int:
        template = template_of(execution)
        if template not in self._templates:
            if len(self._templates) >= _KINDS:
                return 0
            self._templates.add(template)
        return template

    def _inputs_of(self, requirements: list[tuple[str, str]], here: Here) -> bytes:
        key = tuple(requirements)
        encoded = self._inputs.get(key)
        if encoded is None:
            before = self.rejections.count
            rules.check_requirements(requirements, self.project, here)
            inputs = [item for name, path in requirements for item in self._items(name, path)]
            if len(inputs) > len(requirements) and sum(map(_bytes_of, inputs)) > INPUT_BYTES:
                text = f"its folders have {len(inputs):,} files and folders, too many to name them one by one"
                here.reject("requirements", text, "Pack them into one file.")
            encoded = encoder.encode(inputs)
            if self.rejections.count == before and len(self._inputs) < _REMEMBERED:
                self._inputs[key] = encoded
        return encoded

    def _items(self, name: str, path: str) -> list[Input]:
        """A requirement; of a folder that was sent, what is in it."""
        folder = self.folders.get(name)
        if folder is None:
            return [self._input(name, path)]
        items = [self._input(f"{name}/{inner}", f"{path}/{inner}") for inner in folder.files]
        items += [Input(name=f"{name}/{inner}", path=f"{path}/{inner}", folder=True) for inner in folder.empty]
        return items or [Input(name=name, path=path, folder=True)]

    def _input(self, name: str, path: str) -> Input:
        file = self.files.get(name)
        if file is None:
            return Input(name=name, path=path)
        return Input(name=name, path=path, digest=file.digest, size=file.size, executable=file.executable)

    def _profile(self, encoded: bytes, execution: _Known, staging: bool, here: Here) -> int:
        key = (encoded, execution.slots, execution.memory, staging, execution.template)
        number = self._profiles.get(key)
        if number is not None:
            return number
        before = self.rejections.count
        profile = _decoded(encoded, decode_profile, Profile, here)
        rules.check_profile(profile, here)
        profile = msgspec.structs.replace(
            profile, slots=execution.slots, memory=execution.memory, staging=staging, inputs=(),
            template=execution.template,
        )  # fmt: skip
        number = self._number_of_profile(profile)
        if self.rejections.count == before and len(self._profiles) < _REMEMBERED:
            self._profiles[key] = number
        return number

    def _skipping(self, profile: int) -> int:
        """The number of the same profile for a task that succeeds without running where its results exist."""
        number = self._skipped.get(profile)
        if number is None:
            skipping = msgspec.structs.replace(self.profiles[profile], overwrite_result=False)
            number = self._skipped[profile] = self._number_of_profile(skipping)
        return number

    def _number_of_profile(self, profile: Profile) -> int:
        encoded = encoder.encode(profile)
        number = self._profile_numbers.setdefault(encoded, len(self.profiles))
        if number == len(self.profiles):
            self.profiles.append(profile)
            self._profile_bytes.append(content_of_profile(profile))
        return number

    def _content(
        self,
        dependencies: list[str],
        inputs: bytes,
        execution: bytes,
        profile: int,
        own: bytes | None = None,
    ) -> bytes:
        """What makes it the same task when it is pushed again: all but its id, sent files by their digests.

        `own`: in place of its inputs, see `_own_parts`. Without, it has the form that it has in older programs.
        """
        said = encoder.encode(dependencies) if dependencies else b""
        parts = [said, inputs if own is None else own, execution, self._profile_bytes[profile]]
        return blake2b(b"\n".join(parts if own is None else [CONTENT_FORM, *parts]), digest_size=16).digest()

    def _own_parts(self, task: StreamTask, inputs: bytes, here: Here) -> bytes | None:
        """Its inputs, with rows and network in place of the table and the file; None: it has no such parts."""
        if task.rows and not OWN_DIGEST.fullmatch(task.rows):
            here.reject("rows", "is no right digest (32 hexadecimal digits)")
        if not inputs or not bytes(task.execution).startswith(b'{"epanet"'):
            return None
        if not task.rows and self.networks.keys().isdisjoint(name for name, _ in task.requirements):
            return None
        run = _run_of(task.execution)
        if run is None:
            return None
        items = []
        for item in decode_inputs(inputs):
            own = ""
            if item.path == run.inp:
                own = self.networks.get(item.name, "")
            elif item.path == run.scenarios:
                own = task.rows
            if own and item.digest:
                item = msgspec.structs.replace(item, digest=own, size=0, executable=False)
            items.append(item)
        return encoder.encode(items)


def _run_of(execution: msgspec.Raw) -> EpanetRun | None:
    try:
        run: EpanetRun | None = decode_execution(execution).epanet
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # it was rejected already
    return run


def _decoded(encoded: bytes, decode: Callable[[bytes], T], kind: type[T], here: Here) -> T:
    """What is faulty is rejected, and taken as if nothing were written."""
    try:
        return decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        here.reject(*place_and_text(error))
        return kind()


def _bytes_of(item: Input) -> int:
    """In a message, about."""
    return 170 + len(item.name) + len(item.path)


def place_and_text(error: Exception) -> tuple[str, str]:
    """Field and reason in an error of msgspec, such as "Expected `str`, got `int` - at `$.id`"."""
    if isinstance(error, UnicodeDecodeError):
        return "", "is no text in UTF-8"
    if isinstance(error, RecursionError):
        return "", "is nested too deeply"
    text, _, place = str(error).replace("JSON is malformed", "not JSON").partition(" - at `$")
    return place.rstrip("`").lstrip("."), text[0].lower() + text[1:]
