"""What is wrong with a task file: one InputRejection per place, collected so that all are reported at once.

It knows how a rejection reads to a user and how many are worth showing; it does not know how they are found.

    IntakeError
    ├── InputRejectedError     bad input: all its rejections
    ├── TooManyPatternsError   bad input: more names and patterns than can be compared (`producers`)
    └── _NoFileError           bad input: what has the name of a file is none (`local_files`)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from boss.common.suggestions import nearest

#: So many rejections are kept and shown; the rest is only counted.
SHOWN = 100


class InputRejection(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One thing that is wrong, and where."""

    #: What is wrong, as the end of a sentence whose beginning is the place.
    text: str
    #: What the user can do about it; a sentence, or empty.
    hint: str = ""
    file: str = ""
    #: Line of the file, from 1; 0 is unknown.
    line: int = 0
    #: Place of the task in the file, from 1; 0 where the rejection is no task's.
    position: int = 0
    #: The task's id; empty where it has none.
    task: str = ""
    #: The field as the user wrote it, such as `commands[1]`.
    field: str = ""

    def __str__(self) -> str:
        place = ", ".join(part for part in (self._file_and_line(), self._task(), self.field) if part)
        sentence = f"{place}: {self.text}" if place else self.text
        return f"{sentence}. {self.hint}" if self.hint else sentence

    def _file_and_line(self) -> str:
        return f"{self.file}:{self.line}" if self.file and self.line else self.file

    def _task(self) -> str:
        if self.task:
            return f'task "{self.task}"'
        return f"task number {self.position}" if self.position else ""


class IntakeError(Exception):
    """Root of what this package raises."""


class InputRejectedError(IntakeError):
    """Bad input: all its rejections, at most `SHOWN` of them, and how many more there are."""

    def __init__(self, rejections: list[InputRejection], more: int = 0) -> None:
        super().__init__(rejections, more)
        self.rejections = rejections
        self.more = more

    def __str__(self) -> str:
        lines = [str(rejection) for rejection in self.rejections]
        if self.more:
            lines.append(f"... and {self.more:,} more like these")
        return "\n".join(lines)


class InputRejections:
    """Collects rejections up to a number, and counts the rest."""

    def __init__(self, shown: int = SHOWN) -> None:
        self.kept: list[InputRejection] = []
        self.count = 0
        self._shown = shown

    def add(self, text: str, hint: str = "", *, task: str = "", position: int = 0, field: str = "") -> None:
        self.count += 1
        if len(self.kept) < self._shown:
            self.kept.append(InputRejection(text=text, hint=hint, task=task, position=position, field=field))

    def absorb(self, rejections: list[InputRejection], more: int = 0) -> None:
        """Take over what another step found."""
        self.count += len(rejections) + more
        self.kept.extend(rejections[: max(0, self._shown - len(self.kept))])

    def errors(self) -> InputRejectedError:
        return InputRejectedError(self.kept, self.count - len(self.kept))

    def raise_if_any(self) -> None:
        if self.count:
            raise self.errors()


@dataclass(slots=True)
class Here:
    """The task (or other part of a file) that is being read: a short way to add a rejection about it."""

    rejections: InputRejections
    task: str = ""
    position: int = 0
    #: Stands before each field.
    prefix: str = ""

    def reject(self, field: str, text: str, hint: str = "") -> None:
        self.rejections.add(text, hint, task=self.task, position=self.position, field=self.prefix + field)


def suggestion(word: str, known: Iterable[str]) -> str:
    """`Did you mean ...?`, or nothing when no known word is near."""
    near = nearest(word, known)
    return f"Did you mean `{near}`?" if near else ""


def listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)
