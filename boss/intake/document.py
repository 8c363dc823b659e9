"""A task file as text: its JSON, where its tasks stand in it, and on which line something stands.

It knows JSON and the outer form (an array of tasks, or an object around one), and nothing of what a task
is. Tasks stay undecoded slices of the file, so that a large file is never a large tree of objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from boss.intake.errors import InputRejectedError, InputRejection, listed, suggestion

_TOP_FIELDS = ("name", "defaults", "tasks", "$schema")
_BYTE = re.compile(r" \(byte (\d+)\)")

_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Document:
    """The parts of a task file."""

    def __init__(self, data: bytes, file: str) -> None:
        self.data = data
        self.file = file
        self.tasks: list[msgspec.Raw] = []
        #: Of our own form only; None where the file has none.
        self.parts: dict[str, object] = {}
        self.is_array = True
        self._first = 0

    def places(self, positions: Iterable[int]) -> dict[int, int]:
        """Position of a task (from 1) -> where it begins in the file."""
        wanted = set(positions)
        last, at, places = max(wanted, default=0), self._first, {}
        for position, task in enumerate(self.tasks[:last], 1):
            text = bytes(task)
            at = self.data.find(text, at)
            if position in wanted:
                places[position] = at
            at += len(text)
        return places

    def line(self, offset: int) -> int:
        return self.data.count(b"\n", 0, offset) + 1

    def line_of_field(self, position: int, offset: int, field: str) -> int:
        """The line of a task's field; that of the task where the field is not found."""
        word = re.match(r"[\w$-]+", field)
        if word:
            pattern = rb'"' + re.escape(word.group().encode()) + rb'"\s*:'
            found = re.search(pattern, bytes(self.tasks[position - 1]))
            offset += found.start() if found else 0
        return self.line(offset)


def open_document(data: bytes, file: str) -> Document:
    """Split a file into its parts. Raises InputRejectedError where it is no JSON, or has another outer form."""
    document = Document(data, file)
    start = data.lstrip()[:1]
    if not start:
        raise _refusal(file, "the file is empty", "A file of no tasks is `[]`.")
    try:
        if start == b"[":
            document.tasks = _decode_list(data)
        elif start == b"{":
            _open_object(document)
        else:
            msgspec.json.decode(data)
            raise _refusal(file, "holds neither a list of tasks nor an object with `tasks`")
    except JSON_ERRORS as error:
        raise InputRejectedError([malformed(document, error)]) from None
    return document


def _open_object(document: Document) -> None:
    document.is_array = False
    parts = _decode_object(document.data)
    rejections = [
        InputRejection(file=document.file, field=name, text="is no field of a task file", hint=_suggest(name))
        for name in parts
        if name not in _TOP_FIELDS
    ]
    if "tasks" not in parts:
        hint = "Put the task into a list: [...]." if "commands" in parts or "cmd" in parts else ""
        rejections.append(InputRejection(file=document.file, field="tasks", text="is missing", hint=hint))
    elif not bytes(parts["tasks"]).startswith(b"["):
        rejections.append(
            InputRejection(file=document.file, field="tasks", text="is no list", hint="A list of tasks is wanted.")
        )
    if rejections:
        raise InputRejectedError(rejections)
    document.tasks = _decode_list(parts["tasks"])
    document._first = max(0, document.data.find(bytes(parts["tasks"])))
    document.parts = {name: msgspec.json.decode(part) for name, part in parts.items() if name != "tasks"}


def _suggest(name: str) -> str:
    return suggestion(name, _TOP_FIELDS) or f"Known are {listed(_TOP_FIELDS)}."


def _refusal(file: str, text: str, hint: str = "") -> InputRejectedError:
    return InputRejectedError([InputRejection(file=file, text=text, hint=hint)])


def malformed(document: Document, error: Exception, base: int = 0) -> InputRejection:
    """A rejection with line and column for what the JSON reader said of the part that begins at `base`."""
    if isinstance(error, RecursionError):
        return InputRejection(file=document.file, line=document.line(base), text="the JSON is nested too deeply")
    offset, text = _offset_and_text(document.data, error, base)
    start = document.data.rfind(b"\n", 0, offset) + 1
    column = len(document.data[start:offset].decode(errors="replace")) + 1
    return InputRejection(file=document.file, line=document.line(offset), text=f"column {column}: {text}")


def _offset_and_text(data: bytes, error: Exception, base: int) -> tuple[int, str]:
    if isinstance(error, UnicodeDecodeError):
        return _first_bad_byte(data), "not UTF-8"
    message = str(error)
    place = _BYTE.search(message)
    if place:
        text = message.replace("JSON is malformed: ", "").replace(place.group(), "")
        return min(base + int(place.group(1)), len(data)), f"not JSON: {text}"
    if "truncated" in message:
        return len(data.rstrip()), "not JSON: it ends too early, a bracket or a quote is not closed"
    return base, f"not JSON: {message[0].lower()}{message[1:]}"


def _first_bad_byte(data: bytes) -> int:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return 0
