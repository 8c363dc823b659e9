"""Reads the fenced blocks of README and docs, and what their info strings promise about them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
COMMAND_LANGUAGES = ("sh", "bash", "shell", "console")
#: What may stand behind the language of a block of commands.
RUN, FRONT_END, SYNTAX, TEST_COMMAND = "run", "test front-end", "syntax only", "test command"
KINDS = (RUN, FRONT_END, SYNTAX, TEST_COMMAND)

_FENCE = re.compile(r"^(?P<indent> {0,3})```(?P<info>[^`]*)$")


@dataclass(frozen=True)
class Block:
    #: Path below the checkout.
    page: str
    #: Line of the opening fence.
    line: int
    language: str
    kind: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}, line {self.line}"

    @property
    def is_commands(self) -> bool:
        return self.language in COMMAND_LANGUAGES


def pages() -> list[Path]:
    """Every page for readers; decisions and examples included."""
    found = [TOP / "README.md", TOP / "CHANGELOG.md", *TOP.glob("docs/**/*.md"), *TOP.glob("examples/**/*.md")]
    return sorted(path for path in found if path.exists())


def blocks_of(page: Path) -> list[Block]:
    return blocks_in(page.read_text(), str(page.relative_to(TOP)))


def blocks_in(text: str, page: str) -> list[Block]:
    blocks: list[Block] = []
    opened: tuple[int, str] | None = None
    inside: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and opened is None:
            opened, inside = (number, fence["info"].strip()), []
        elif fence and opened is not None and not fence["info"].strip():
            language, _, kind = opened[1].partition(" ")
            blocks.append(Block(page, opened[0], language, kind.strip(), "\n".join(inside) + "\n"))
            opened = None
        else:
            inside.append(line)
    if opened is not None:
        raise AssertionError(f"{page}, line {opened[0]}: this block is never closed")
    return blocks


def all_blocks() -> list[Block]:
    return [block for page in pages() for block in blocks_of(page)]
