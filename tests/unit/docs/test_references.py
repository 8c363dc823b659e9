"""No file of the repository names a document that is not in it, or a place in one that has no name."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.worlds.parts import need

TOP = Path(__file__).resolve().parents[3]
#: A page, as a path from the top, from docs/, or from where it is named.
PAGE = re.compile(r"[\w./-]*\w\.(?:md|rst)\b")
#: `CHARTER section 5`, `(row 23)`: what is meant is in no file that has such a name.
NOWHERE = re.compile(
    r"\b[A-Z]{4,}(?:\.md)?,? (?:sections?|chapters?) \d|\((?:rows?|items?|features?|issues?) \d+|§ ?\d"
)
#: Texts that are no text of ours, and names that tests make up.
NOT_OURS = ("tests/worlds/stored/", "requirements", "LICENSE", "examples/net3_study/Net3")
MADE_UP = {"x.md"}


def texts() -> list[tuple[str, str]]:
    """Path from the top and content of each file of text that belongs to the repository."""
    listed = subprocess.run(
        [need("git"), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=TOP,
        capture_output=True,
        check=True,
    ).stdout.decode()
    found = []
    for name in filter(None, listed.split("\0")):
        if not name.startswith(NOT_OURS) and (TOP / name).is_file():
            try:
                found.append((name, (TOP / name).read_text()))
            except UnicodeDecodeError:
                continue
    return found


def wrong_references(name: str, text: str) -> list[str]:
    here = (TOP / name).parent
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1)]
    pages = [(number, page) for number, line in lines for page in PAGE.findall(line) if page not in MADE_UP]
    wrong = [
        f"{name}, line {number}: there is no {page}"
        for number, page in pages
        if not any((folder / page).exists() for folder in (TOP, TOP / "docs", here))
    ]
    return wrong + [f"{name}, line {n}: what is {found}?" for n, line in lines for found in NOWHERE.findall(line)]


def test_every_document_that_is_named_is_in_the_repository() -> None:
    files = texts()
    assert len(files) > 100
    wrong = [
        each
        for name, text in files
        if name != "tests/unit/docs/test_references.py"
        for each in wrong_references(name, text)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "# the rules of CHARTER section 5",
        "as CHARTER.md says",
        "see docs/absent/page.md",
        "#: Longest wait of one request (row 55).",
        "the table of § 3",
    ],
)
def test_a_reference_to_nowhere_is_found(text: str) -> None:
    assert wrong_references("boss/loop.py", text)


@pytest.mark.parametrize("text", ["docs/protocol.md", "[protocol](protocol.md)", "README.md", "row 3 of a table"])
def test_a_reference_to_a_page_that_is_there_is_right(text: str) -> None:
    assert not wrong_references("boss/loop.py", text)


#: What a page on the code names between backticks: `boss/core/retry.py`, `core/ready`, `legal.py`.
PART = re.compile(r"`([a-z_]+(?:/[a-z_]+)*\.py|(?:boss|core|worker|datastore|wire|database|tests)(?:/[a-z_]+)+)/?`")


def parts(page: str, files: list[str]) -> list[str]:
    """Those that are no file or folder of the repository, wherever it stands."""
    folders = {"/".join(name.split("/")[:end]) for name in files for end in range(1, name.count("/") + 1)}
    there = {*files, *(name.removesuffix(".py") for name in files), *folders}
    ends = {"/".join(name.split("/")[start:]) for name in there for start in range(name.count("/") + 1)}
    return [part for part in PART.findall(page) if part not in ends]


def test_every_part_of_the_code_that_the_page_on_architecture_names_is_there() -> None:
    listed = subprocess.run([need("git"), "ls-files", "-z"], cwd=TOP, capture_output=True, check=True).stdout
    files = listed.decode().split("\0")
    assert parts("see `core/nowhere`, `boss/core/` and `worker/startup.sh`, `nothing.py`", files) == [
        "core/nowhere", "nothing.py",
    ]  # fmt: skip
    for page in ("architecture.md", "guarantees.md", "states.md"):
        assert parts((TOP / "docs" / page).read_text(), files) == []
