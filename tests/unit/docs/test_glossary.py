"""docs/glossary.md has every word that the code uses for a thing of ours, and no other.

The words come from the names that a user or another program meets: SQL tables and columns, messages, settings,
commands, bodies of the HTTP API, and the classes of the boss's rules. A name is taken apart into words; a word that
several of these vocabularies share is a thing of ours, and so is what has a table, a state or an operation.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
import typer

import admin
from boss.api import schema
from boss.configuration.pools import POOL_SETTINGS
from boss.core import events, model, state
from boss.database.tables import metadata
from settings import SETTINGS
from wire import messages

TOP = Path(__file__).resolve().parents[3]
PRODUCT = ("boss", "worker", "datastore", "wire")
#: Of the six vocabularies. With two it would be every second word of English, with four little more than the tables.
SHARED_BY = 3
#: Shared words that have no meaning of ours, by what they are.
PLAIN: dict[str, str] = {
    "of every program": "address code disk exit folder host id key kind memory name number program size stderr stdout",
    "of every list": "count now since tail time",
    "of a unit": "byte second",
    "of a moment": "after at",
    "of another's thing": "http opennebula",
    "only to tell names apart": "max other refused request spec",
}


def words_of(name: str) -> list[str]:
    """WorkerHello, worker_hello and worker-hello are `worker`, `hello`; plurals count as singular."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [singular(word) for word in re.findall(r"[a-z0-9]+", apart.lower())]


def singular(word: str) -> str:
    for plural, one in (("ies", "y"), ("ches", "ch"), ("ss", "ss"), ("us", "us"), ("is", "is"), ("s", "")):
        if word.endswith(plural) and len(word) > 3:
            return word.removesuffix(plural) + one
    return word


def classes(module: ModuleType) -> list[type]:
    """The public ones that are defined there."""
    name = module.__name__
    return [
        each
        for each in vars(module).values()
        if isinstance(each, type) and each.__module__ == name and not each.__name__.startswith("_")
    ]


def structs(module: ModuleType) -> Iterator[str]:
    """Names of bodies or messages, and of their fields."""
    for each in classes(module):
        if issubclass(each, msgspec.Struct):
            yield from (each.__name__, *each.__struct_fields__)


def defined(*packages: str) -> Iterator[ast.AST]:
    for package in packages:
        for path in sorted((TOP / package).rglob("*.py")):
            yield from ast.walk(ast.parse(path.read_text()))


def commands(command: object) -> Iterator[str]:
    for name, each in getattr(command, "commands", {}).items():
        yield name
        yield from commands(each)
        yield from (parameter.name for parameter in each.params)


COLUMNS = [column.name for table in metadata.tables.values() for column in table.columns]
VOCABULARIES: dict[str, list[str]] = {
    "database": [*metadata.tables, *COLUMNS],
    "messages": list(structs(messages)),
    "settings": [each.name for each in (*SETTINGS, *POOL_SETTINGS)],
    "commands": list(commands(typer.main.get_command(admin.app))),
    "api": list(structs(schema)),
    "rules": [
        node.name
        for node in defined("boss/core", "worker/agent", "datastore/agent")
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ],
}


def covered(word: str, entries: Iterable[str]) -> bool:
    """It is an entry, or the participle of one: `paused` of pause, `dropped` of drop."""
    stem = word.removesuffix("ed")
    return word in entries or (word != stem and not {stem, stem + "e", stem[:-1], word[:-3] + "y"}.isdisjoint(entries))


def tables(page: str) -> dict[str, list[str]]:
    """Heading -> first column of its table."""
    return {
        section.partition("\n")[0]: re.findall(r"^\| (?!---)([^|]+?) \|", section, re.M)[1:]
        for section in page.split("\n## ")[1:]
    }


PAGE = (TOP / "docs" / "glossary.md").read_text()
ENTRIES = tables(PAGE)


def words_of_entries(entries: dict[str, list[str]]) -> set[str]:
    return {word for names in entries.values() for name in names for word in words_of(name)}


def shared(vocabularies: dict[str, list[str]]) -> dict[str, str]:
    """Word -> an example of each vocabulary that has it, for those that enough of them have."""
    found: dict[str, dict[str, str]] = {}
    for vocabulary, names in vocabularies.items():
        for name in names:
            for word in words_of(name):
                found.setdefault(word, {}).setdefault(vocabulary, name)
    return {word: ", ".join(names.values()) for word, names in found.items() if len(names) >= SHARED_BY}


def own_things() -> dict[str, str]:
    """Word -> the name that has it: of a table, of what the boss keeps, has states of or is asked to do."""
    kept = [each.__name__ for each in (*classes(state), *classes(model))]
    asked = [each.__name__.removesuffix("Asked") for each in classes(events) if each.__name__.endswith("Asked")]
    groups = Counter(words_of(each.name)[0] for each in SETTINGS)
    settings = [group for group, count in groups.items() if count > 1]
    return {word: name for name in (*metadata.tables, *kept, *asked, *settings) for word in words_of(name)}


def missing(vocabularies: dict[str, list[str]], entries: dict[str, list[str]]) -> list[str]:
    plain, there = set(" ".join(PLAIN.values()).split()), words_of_entries(entries)
    things = own_things() | shared(vocabularies)
    return [f"{word}: {where}" for word, where in things.items() if word not in plain and not covered(word, there)]


def test_every_word_of_the_code_for_a_thing_of_ours_has_an_entry() -> None:
    assert not missing(VOCABULARIES, ENTRIES)


def identifiers() -> set[str]:
    """All names that the product defines or that its users meet, as words with blanks around: ` worker hello `."""
    found = set(chain.from_iterable(VOCABULARIES.values()))
    for node in defined(*PRODUCT):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.Attribute(attr=name, ctx=ast.Store()):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                found.add(name)
    return {f" {' '.join(words_of(name))} " for name in found}


def unused(entries: dict[str, list[str]], names: set[str]) -> list[str]:
    return [
        name
        for name in chain.from_iterable(entries.values())
        if not any(f" {' '.join(words_of(name))} " in each for each in names)
    ]


def test_every_entry_is_a_word_of_the_code() -> None:
    assert not unused(ENTRIES, identifiers())


def test_a_thing_without_an_entry_is_found() -> None:
    names = {"database": ["parcels"], "messages": ["ParcelSent"], "commands": ["drop_parcel"]}
    found = [line.partition(":")[0] for line in missing(names, {"Things": ["sent", *words_of_entries(ENTRIES)]})]
    assert found == ["parcel"]
    assert "worker" in [line.partition(":")[0] for line in missing(VOCABULARIES, {"Things": ["task"]})]


def test_an_entry_that_no_code_uses_is_found() -> None:
    entries = {"Things": ["parcel", "state directory", "worker"]}
    assert unused(entries, {" worker hello ", " drop batch ", " state ", " directory "}) == [
        "parcel",
        "state directory",
    ]


def test_every_plain_word_is_still_needed() -> None:
    things = own_things() | shared(VOCABULARIES)
    assert not [
        word for word in " ".join(PLAIN.values()).split() if word not in things or word in words_of_entries(ENTRIES)
    ]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("WorkerHello", "worker hello"),
        ("batches", "batch"),
        ("retries", "retry"),
        ("status", "status"),
        ("keep-alive", "keep alive"),
    ],
)
def test_a_name_is_split(name: str, words: str) -> None:
    assert words_of(name) == words.split()
