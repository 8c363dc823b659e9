"""Templates in both of OpenNebula's forms, as its server reads and writes them; what it makes of `$` in a context.

Written for the tests, and separately: what the boss writes has to be understood by another reader than its own.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

from tests.worlds.opennebula.objects import ALLOCATE, INTERNAL, Attributes, Refuse

_TOKEN = re.compile(r'\s+|#[^\n]*|(?P<name>\w+)|(?P<text>"(?:[^"\\]|\\.)*")|(?P<sign>[=\[\],])', re.S)
_SYNTAX = "Parse error: syntax error, unexpected $end, expecting VARIABLE"


def attributes_of(text: str) -> Attributes:
    """Of a template as XML (pyone's nested dictionaries), or in the form with `NAME = "value"`. Raises Refuse."""
    if text.lstrip().startswith("<"):
        return {key: value for child in ElementTree.fromstring(text) for key, value in [(child.tag, _value(child))]}
    tokens = _tokens(text)
    found: Attributes = {}
    while tokens:
        name = _take(tokens, "name")
        _take(tokens, "=")
        value = _vector(tokens) if tokens and tokens[0][1] == "[" else _take(tokens, "text", "name")
        if name in found:
            before = found[name]
            found[name] = [*before, value] if isinstance(before, list) else [before, value]
        else:
            found[name] = value
    return found


def _vector(tokens: list[tuple[str, str]]) -> Attributes:
    _take(tokens, "[")
    inner: Attributes = {}
    while tokens and tokens[0][1] != "]":
        name = _take(tokens, "name")
        _take(tokens, "=")
        inner[name] = _take(tokens, "text", "name")
        if tokens and tokens[0][1] == ",":
            tokens.pop(0)
    _take(tokens, "]")
    return inner


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise Refuse(INTERNAL, _SYNTAX)
        at = match.end()
        if match["text"] is not None:
            found.append(("text", re.sub(r"\\(.)", r"\1", match["text"][1:-1], flags=re.S)))
        elif match.lastgroup:
            found.append((match.lastgroup, match[match.lastgroup]))
    return found


def _take(tokens: list[tuple[str, str]], *wanted: str) -> str:
    if not tokens or (tokens[0][0] not in wanted and tokens[0][1] not in wanted):
        raise Refuse(INTERNAL, _SYNTAX)
    return tokens.pop(0)[1]


def _value(element: ElementTree.Element) -> str | Attributes:
    return {child.tag: _value(child) for child in element} if len(element) else (element.text or "")


def xml_of(attributes: Attributes) -> str:
    """The inner of an element: lists as repeated elements, texts as CDATA."""
    parts = []
    for name, value in attributes.items():
        for one in value if isinstance(value, list) else [value]:
            inner = xml_of(one) if isinstance(one, dict) else f"<![CDATA[{one}]]>"
            parts.append(f"<{name}>{inner}</{name}>")
    return "".join(parts)


_VARIABLE = re.compile(r"\$(?:(\w*[A-Za-z_]\w*)(?:\[([^\]]*)\])?|.?)", re.S)


def expanded(context: Attributes, lookup: Callable[[str, str], str]) -> Attributes:
    """As oned does it: $NAME and $NAME[...] by `lookup`, unset ones empty; any other `$` is a syntax error."""

    def one(match: re.Match[str]) -> str:
        if match[1] is None or match[1][0].isdigit():
            raise Refuse(
                ALLOCATE,
                "Error allocating a new virtual machine template. Error parsing: "
                f"{match.string[:40]}: syntax error, unexpected EOA",
            )
        return lookup(match[1], match[2] or "")

    return {name: _VARIABLE.sub(one, str(value)) for name, value in context.items()}
