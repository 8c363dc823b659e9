"""How each field of a task is written: from the JSON that a user wrote to a value of the right type.

It judges types and shapes and reports each faulty element; `rules` judges the values themselves. A parser
takes (value, field, here), adds rejections to `here`, and returns what is usable of the value, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from boss.common.units import BINARY, DECIMAL, SECONDS
from boss.intake.errors import Here, listed, suggestion
from boss.intake.rules import shortest

T = TypeVar("T")
Pair = tuple[str, str]

#: The JSON Schema has the same two patterns; a test compares them.
_NUMBER = r"[0-9]{1,12}(\.[0-9]{1,9})?"
DURATION = rf"^(?=.)({_NUMBER}d)?({_NUMBER}h)?({_NUMBER}m)?({_NUMBER}s)?$"
MEMORY = rf"^{_NUMBER} ?(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB|K|M|G|T)$"

_DURATION = re.compile(DURATION)
_MEMORY = re.compile(MEMORY)
_PARTS = re.compile(r"(\d+(?:\.\d+)?)([dhms])")


def word_of(value: object) -> str:
    """What a value is, in the words of JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    for kind, word in ((int | float, "a number"), (str, "a text"), (list, "a list")):
        if isinstance(value, kind):
            return word
    return "an object"


def _refuse(value: object, wanted: str, field: str, here: Here, hint: str = "") -> None:
    here.reject(field, f"is {word_of(value)}, and {wanted} is wanted", hint)


def text(value: object, field: str, here: Here) -> str | None:
    if isinstance(value, str):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    _refuse(value, "a text", field, here, f'Write "{value}" with quotes.' if is_number else "")
    return None


#: The types in a list that holds texts only; a quick test for the many lists that do.
_TEXT_TYPES = frozenset({str})


def _elements(value: list[object], parse: Callable[[object, str, Here], T | None], field: str, here: Here) -> list[T]:
    """Each element parsed; the faulty ones are reported and left out."""
    parsed = (parse(element, f"{field}[{place}]", here) for place, element in enumerate(value))
    return [element for element in parsed if element is not None]


def texts(value: object, field: str, here: Here) -> list[str] | None:
    if isinstance(value, list):
        return value if _TEXT_TYPES.issuperset(map(type, value)) else _elements(value, text, field, here)
    _refuse(value, "a list of texts", field, here, _in_list(value))
    return None


def _in_list(value: object) -> str:
    return f'Write ["{value}"].' if isinstance(value, str) else ""


def commands(value: object, field: str, here: Here) -> list[str | list[str]] | None:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return value if _TEXT_TYPES.issuperset(map(type, value)) else _elements(value, _command, field, here)
    _refuse(value, "a text or a list of commands", field, here)
    return None


def _command(value: object, field: str, here: Here) -> str | list[str] | None:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return _elements(value, text, field, here)
    _refuse(value, "a text (for the shell) or a list of texts (program and arguments)", field, here)
    return None


def joined_commands(value: object, field: str, here: Here) -> list[str | list[str]] | None:
    """The database era: all commands of a list run in one shell."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        parts = texts(value, field, here) or []
        return [" && ".join(parts)] if parts else []
    _refuse(value, "a text or a list of texts", field, here)
    return None


def pairs(value: object, field: str, here: Here) -> list[Pair] | None:
    """Requirements and results: each a path, or [from, to]."""
    if isinstance(value, list):
        return _elements(value, _pair, field, here)
    _refuse(value, "a list of paths", field, here, _in_list(value))
    return None


def _pair(value: object, field: str, here: Here) -> Pair | None:
    if isinstance(value, str):
        path = shortest(value)
        return path, path
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str):
        return shortest(value[0]), shortest(value[1])
    is_list = isinstance(value, list)
    found = f"is a list of {len(value)}" if is_list and len(value) != 2 else f"is {word_of(value)}"  # type: ignore[arg-type]  # a list
    here.reject(field, f"{found}, and a path or a pair of paths [from, to] is wanted")
    return None


def text_map(value: object, field: str, here: Here) -> dict[str, str] | None:
    if not isinstance(value, dict):
        _refuse(value, "an object of texts", field, here)
        return None
    parsed = {key: text(element, f"{field}.{key}", here) for key, element in value.items()}
    return {key: element for key, element in parsed.items() if element is not None}


def duration(value: object, field: str, here: Here) -> float | None:
    """Seconds as a number, or a text such as "5m"."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _float(value)
    seconds = seconds_of(value) if isinstance(value, str) else None
    if seconds is None:
        found = f"`{value}`" if isinstance(value, str) else word_of(value)
        here.reject(
            field, f"is {found}, and a time is wanted", 'Write seconds as a number, or "90s", "5m", "1h30m", "2d".'
        )
    return seconds


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits; the rules refuse infinity
        return float("inf")


def duration_or_none(value: object, field: str, here: Here) -> float | None:
    return None if value is None else duration(value, field, here)


def integer(value: object, field: str, here: Here) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    _refuse(value, "a whole number", field, here)
    return None


def exit_codes(value: object, field: str, here: Here) -> tuple[int, ...] | None:
    if isinstance(value, list):
        return tuple(_elements(value, integer, field, here))
    _refuse(value, "a list of exit codes", field, here, f"Write [{value}]." if isinstance(value, int) else "")
    return None


def boolean(value: object, field: str, here: Here) -> bool | None:
    if isinstance(value, bool):
        return value
    _refuse(value, "true or false", field, here)
    return None


def resources(value: object, field: str, here: Here) -> dict[str, int] | None:
    if not isinstance(value, dict):
        _refuse(value, 'an object such as {"slots": 2, "memory": "4GB"}', field, here)
        return None
    check_known(value, ("slots", "memory"), field, here)
    parsed = {}
    if "slots" in value:
        parsed["slots"] = integer(value["slots"], f"{field}.slots", here)
    if value.get("memory") is not None:
        parsed["memory"] = _memory(value["memory"], f"{field}.memory", here)
    return {key: number for key, number in parsed.items() if number is not None}


def _memory(value: object, field: str, here: Here) -> int | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return integer(value, field, here)
    amount = bytes_of(value) if isinstance(value, str) else None
    if amount is None:
        found = f"`{value}`" if isinstance(value, str) else word_of(value)
        here.reject(
            field, f"is {found}, and an amount of memory is wanted", 'Write bytes as a number, or "512MB", "2GiB".'
        )
    return amount


def check_known(value: dict[str, object], known: tuple[str, ...], field: str, here: Here) -> None:
    """Report the fields of an inner object that are unknown."""
    for name in value:
        if name not in known:
            hint = suggestion(name, known) or f"Known are {listed(known)}."
            here.reject(f"{field}.{name}", "is no field that is known here", hint)


# --- times and amounts of memory, such as "5m", "1h30m", "2GB", "512 MiB" --------------------------------


def seconds_of(text: str) -> float | None:
    """Seconds in `"5m"`, `"1h30m"`, `"2.5s"`, `"1d"`; None when it is no such text."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * SECONDS[unit] for number, unit in _PARTS.findall(text))


def bytes_of(text: str) -> int | None:
    """Bytes in `"2GB"` (1000s), `"2GiB"` or `"2G"` (1024s, as `ulimit` and Slurm count)."""
    found = _MEMORY.fullmatch(text)
    return None if found is None else round(float(text[: found.start(2)]) * _factor(found[2]))


def _factor(unit: str) -> int:
    if unit == "B":
        return 1
    decimal = unit.endswith("B") and "i" not in unit
    return (DECIMAL if decimal else BINARY)[unit[0].lower()]
