"""OpenNebula's form of templates, read: `NAME = "value"`, `NAME = [ A = "x", B = "y" ]`, `#` comments. Pure.

So that a template of ours can be compared with what the cloud has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_TOKEN = re.compile(r'\s+|\#[^\n]*|(?P<word>\w+)|"(?P<text>(?:[^"\\]|\\.)*)"|(?P<sign>[=\[\],])', re.S)

Attributes = dict[str, object]


def parse(text: str) -> Attributes:
    """A name that comes several times has a list. Raises ValueError with the line."""
    tokens = list(_tokens(text))
    found: Attributes = {}
    at = 0

    def take(*kinds: str) -> str:
        nonlocal at
        if at >= len(tokens) or tokens[at][0] not in kinds:
            line = tokens[at][2] if at < len(tokens) else text.count("\n") + 1
            raise ValueError(f"line {line}: {' or '.join(kinds)} expected")
        at += 1
        return tokens[at - 1][1]

    while at < len(tokens):
        name = take("word")
        take("=")
        value: object
        if at < len(tokens) and tokens[at][0] == "[":
            take("[")
            inner: dict[str, str] = {}
            while at < len(tokens) and tokens[at][0] != "]":
                key = take("word")
                take("=")
                inner[key] = take("text", "word")
                if at < len(tokens) and tokens[at][0] == ",":
                    take(",")
            take("]")
            value = inner
        else:
            value = take("text", "word")
        before = found.get(name)
        found[name] = value if before is None else [*(before if isinstance(before, list) else [before]), value]
    return found


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"line {line}: {text[at : at + 20]!r} is no part of a template")
        if match["word"] is not None:
            yield "word", match["word"], line
        elif match["text"] is not None:
            yield "text", re.sub(r"\\(.)", r"\1", match["text"], flags=re.S), line
        elif match["sign"] is not None:
            yield match["sign"], match["sign"], line
        line += match[0].count("\n")
        at = match.end()


def quoted(value: object) -> str:
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def flat(attributes: Mapping[str, object]) -> dict[str, str]:
    """`DISK[1]/IMAGE` -> its value; a single one and a list of one are the same. Sorted."""
    found: dict[str, str] = {}
    for name, value in attributes.items():
        for number, one in enumerate(value if isinstance(value, list) else [value]):
            place = f"{name}[{number}]" if number else name
            if isinstance(one, Mapping):
                found |= {f"{place}/{key}": "" if inner is None else str(inner) for key, inner in one.items()}
            else:
                found[place] = "" if one is None else str(one)
    return dict(sorted(found.items()))
