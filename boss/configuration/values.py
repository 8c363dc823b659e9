"""How a setting's value is written and read: types, units, limits, former names, and what is shown of a secret.

Pure: knows neither files nor the environment, and no setting by name (that is `settings`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boss.common.units import BINARY, DECIMAL, MINUTE, SECONDS

Value = str | int | float | bool | Path | None

_SECONDS: dict[str, float] = {**SECONDS, "": 1.0, "ms": 0.001, "min": MINUTE}
_BYTES: dict[str, float] = {"": 1, "b": 1}
_BYTES |= {f"{letter}b": size for letter, size in DECIMAL.items()}
_BYTES |= {f"{letter}ib": size for letter, size in BINARY.items()}
_SCALES: dict[str, dict[str, float]] = {"seconds": _SECONDS, "bytes": _BYTES}
_BARE: dict[str, float] = {"": 1}
#: As which a number of bytes is written: the first of these that it is a multiple of.
_WHOLE_BYTES = ((1000**3, "GB"), (1024**3, "GiB"), (1024**2, "MiB"), (1000**2, "MB"), (1024, "KiB"))
_QUANTITY = re.compile(r"\s*([+-]?[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*([a-zA-Z]*)\s*")
_PASSWORD = re.compile(r"(?<=://)([^:/@]*):.*@|(?<=[?&])(passw[^=]*)=[^&]*")


class ConfigurationError(ValueError):
    """A value that does not serve; the text goes on from the setting's name."""


class SettingsError(ConfigurationError):
    """Everything that is wrong with the settings, a line each: where, what, and what would do."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Setting:
    name: str
    #: str, int, float, bool or Path.
    type: type
    #: What the value is measured or written in, for users.
    unit: str
    default: Value
    #: One sentence for users.
    sentence: str
    #: Never shown, and may be named by a file: `<name>_file`.
    secret: bool = False
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    #: Names that it had: each works for one release, with a warning; docs/compatibility.md lists them.
    formerly: tuple[str, ...] = ()


@dataclass(frozen=True)
class ShownSetting:
    """One setting as `admin.py settings` shows it."""

    name: str
    value: str
    origin: str


@dataclass(repr=False)
class Values:
    """The values that hold, as attributes by the settings' names too, and where each came from. Not to be printed."""

    values: dict[str, Any]
    origins: dict[str, str]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["values"][name]
        except KeyError:
            raise AttributeError(f"there is no setting {name!r}") from None


def former_names(keys: Mapping[str, Setting]) -> dict[str, str]:
    """Former key -> the key of `keys` that it is now: of `token` also `token_file`, where that is one of them."""
    return {
        f"{former}{key.removeprefix(setting.name)}": key for key, setting in keys.items() for former in setting.formerly
    }


def renamed(former: str, present: str) -> str:
    """The warning to a user who wrote the former name; where that stands comes before it."""
    return f"{former} is now called {present}; rename it, the next release does not know {former}"


def parse(setting: Setting, given: object, base: Path) -> Value:
    """The value of what was written. A relative path is relative to `base`. Raises ConfigurationError."""
    value = _converted(setting, given, base)
    if setting.choices and value not in setting.choices:
        raise ConfigurationError(f"is {given!r}; it must be one of {', '.join(setting.choices)}")
    if isinstance(value, int | float):
        if setting.least is not None and value < setting.least:
            raise ConfigurationError(f"is {given}; it must be at least {as_written(setting.least, setting.unit)}")
        if setting.most is not None and value > setting.most:
            raise ConfigurationError(f"is {given}; it must be at most {as_written(setting.most, setting.unit)}")
    return value


def _converted(setting: Setting, given: object, base: Path) -> Value:
    if setting.type is Path:
        return _path(given, base)
    if setting.type is bool:
        return _truth(given)
    if setting.type is str:
        if not isinstance(given, str):
            raise _shown(setting, given, "it must be a text")
        return given.strip()
    return _number(setting, given)


def _shown(setting: Setting, given: object, wanted: str) -> ConfigurationError:
    return ConfigurationError(wanted.replace("it must be", "must be") if setting.secret else f"is {given!r}; {wanted}")


def _path(given: object, base: Path) -> Path | None:
    if not isinstance(given, str | Path):
        raise ConfigurationError(f"is {given!r}; it must be a path")
    return base / Path(given).expanduser() if str(given).strip() else None


def _truth(given: object) -> bool:
    words = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}
    if isinstance(given, bool):
        return given
    if isinstance(given, str) and given.strip().lower() in words:
        return words[given.strip().lower()]
    raise ConfigurationError(f"is {given!r}; it must be yes or no")


def _number(setting: Setting, given: object) -> int | float:
    whole = "a whole number" if setting.type is int else "a number"
    wanted = f"it must be {whole} of {setting.unit}"
    if isinstance(given, str):
        number = _quantity(setting, given, wanted)
    elif isinstance(given, int | float) and not isinstance(given, bool):
        number = given
    else:
        raise ConfigurationError(f"is {given!r}; {wanted}")
    if not math.isfinite(number) or (setting.type is int and number != int(number)):
        raise ConfigurationError(f"is {given!r}; {wanted}")
    return int(number) if setting.type is int else float(number)


def _quantity(setting: Setting, text: str, wanted: str) -> int | float:
    scales = _SCALES.get(setting.unit, _BARE)
    example = {"seconds": ", such as 90, 90s or 1.5m", "bytes": ", such as 1000000, 1MB or 1MiB"}.get(setting.unit, "")
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2].lower() not in scales:
        raise ConfigurationError(f"is {text!r}; {wanted}{example}")
    number = int(match[1]) if match[1].lstrip("+-").replace("_", "").isdigit() else float(match[1])
    return number * scales[match[2].lower()]


def masked(setting: Setting, value: Value) -> str:
    """How a value is shown: of a secret only that it is there, of a URL all but its password."""
    if value is None or value == "":
        return ""
    if setting.secret:
        return _PASSWORD.sub(_hide, str(value)) if setting.unit == "URL" else "***"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _hide(match: re.Match[str]) -> str:
    return f"{match[1]}:***@" if match[1] is not None else f"{match[2]}=***"


def as_written(value: Value, unit: str) -> str:
    """A value as users write it in a settings file; one that is not set: (empty)."""
    if value in (None, ""):
        return "(empty)"
    if unit == "bytes" and isinstance(value, int) and value:
        for scale, name in _WHOLE_BYTES:
            if value % scale == 0:
                return f"{value // scale} {name}"
    return f"{value:g}" if isinstance(value, float) else str(value)
