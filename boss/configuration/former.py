"""Former names of what users write: of settings, options and commands. Each works for one release, with one warning.

Pure. docs/compatibility.md lists those that there are.
"""

from __future__ import annotations

from collections.abc import Mapping

from boss.configuration.values import Setting


def former_names(keys: Mapping[str, Setting]) -> dict[str, str]:
    """Former key -> the key of `keys` that it is now: of `token` also `token_file`, where that is one of them."""
    return {
        f"{former}{key.removeprefix(setting.name)}": key for key, setting in keys.items() for former in setting.formerly
    }


def renamed(former: str, present: str) -> str:
    """The warning to a user who wrote the former name; where that stands comes before it."""
    return f"{former} is now called {present}; rename it, the next release does not know {former}"
