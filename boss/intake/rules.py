"""The rules that the values of a task obey, one by one (ids, paths, commands, numbers) and put to a whole task.

A `wrong_...` takes a value of the right type and returns what is wrong with it as the end of a sentence, or the empty
string. A `check_...` knows which field a value belongs to, in the words of our own dialect, and adds a rejection to
what it is given. The same rules hold for a file that is checked offline and for a stream that reaches the boss; what
crosses tasks (unknown dependencies, cycles, clashes) is in `finish` and `graph`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from boss.common.units import DAY
from boss.core.model import Profile
from boss.intake.errors import Here
from wire.messages import EpanetRun, Execution, ResultItem

#: Characters of a task id.
ID_CHARACTERS = 255
#: Bytes of a path, and of one of its parts; file systems end there.
PATH_BYTES, PART_BYTES = 1024, 255
#: Linux passes no longer single argument to a program (with the byte that ends it).
COMMAND_BYTES = 128 * 1024 - 1
#: The longest time that may be asked for: ten years.
LONGEST_SECONDS = 10 * 366 * DAY
MAX_SLOTS = 4096
MAX_RETRIES = 1000
PRIORITY_BOUND = 1_000_000

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
#: Line feeds and tabs do occur in names of files.
_NOT_IN_PATH = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ENV_NAME = re.compile(r"[^=\x00-\x20\x7f]+")


def wrong_id(text: str) -> str:
    if not text:
        return "is empty"
    if len(text) > ID_CHARACTERS:
        return f"has {len(text)} characters; an id has at most {ID_CHARACTERS}"
    return "" if text.isprintable() else _wrong_characters(text)


def _wrong_characters(text: str, wrong: re.Pattern[str] = _CONTROL) -> str:
    found = wrong.search(text)
    return f"has a control character ({found.group()!r})" if found else ""


def wrong_project(text: str) -> str:
    if _PROJECT.fullmatch(text):
        return ""
    return f"`{text}` is no project name: letters, digits, `.`, `_` and `-`, at most 64, the first a letter or digit"


def wrong_path(path: str) -> str:
    """A path inside a tree (the datastore's, or a task's working directory), in its shortest form."""
    if not path:
        return "is an empty path"
    if path[0] == "/":
        return f"`{path}` is an absolute path; a path inside the tree is wanted"
    if not path.isprintable() and (reason := _wrong_characters(path, _NOT_IN_PATH)):
        return reason
    parts = path.split("/")
    if ".." in parts:
        return f"`{path}` leaves the tree"
    if "" in parts or "." in parts:
        return f"`{path}` has an empty part or a `.`"
    longest = max(len(part.encode()) for part in parts)
    if longest > PART_BYTES or len(path.encode()) > PATH_BYTES:
        return f"`{path[:40]}...` is too long: at most {PATH_BYTES} bytes, and {PART_BYTES} between two slashes"
    return ""


def wrong_name(name: str, project: str) -> str:
    """A name in the datastore's tree: a path that is none of ecloud's own places."""
    if reason := wrong_path(name):
        return reason
    first = name.partition("/")[0]
    if first == ".ecloud":
        return f"`{name}` is below `.ecloud/`, which ecloud keeps for itself"
    if first == "projects" and project == "default":
        return f"`{name}` is below `projects/`, where the other projects have their files"
    return ""


def shortest(path: str) -> str:
    """The path without `./`, doubled slashes and one at the end; `..` and a leading slash stay, to be refused."""
    if "//" not in path and not path.startswith("./") and "/./" not in path and not path.endswith(("/", "/.")):
        return path
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return ("/" if path.startswith("/") else "") + "/".join(parts)


def wrong_command(command: str | list[str]) -> str:
    if isinstance(command, str):
        return wrong_argument(command)
    if not command or not command[0]:
        return "names no program"
    return next(filter(None, map(wrong_argument, command)), "")


def wrong_argument(text: str) -> str:
    if "\0" in text:
        return "has a NUL character, which no command can have"
    if len(text) > COMMAND_BYTES // 4 and len(text.encode()) > COMMAND_BYTES:
        return (
            f"is longer than {COMMAND_BYTES:,} bytes, the longest argument that Linux takes; "
            "put it into a script and name that in `requirements`"
        )
    return ""


def wrong_variable(name: str, value: str) -> str:
    if not _ENV_NAME.fullmatch(name):
        return f"`{name}` is no name of an environment variable"
    return wrong_argument(value)


def wrong_duration(seconds: float, *, zero: bool = False) -> str:
    if not math.isfinite(seconds) or seconds < 0 or (seconds == 0 and not zero):
        return f"is {seconds:g} seconds; a time {'of at least 0' if zero else 'above 0'} is wanted"
    return "" if seconds <= LONGEST_SECONDS else "is longer than ten years"


def wrong_number(value: int, low: int, high: int) -> str:
    return "" if low <= value <= high else f"is {value}; a number from {low} to {high} is wanted"


def wrong_label(text: str) -> str:
    """A name of a pool, or a key or value of a label."""
    return "is longer than 255 characters" if len(text) > 255 else _wrong_characters(text)


# --- a whole task ------------------------------------------------------------------------------------


def check_execution(execution: Execution, project: str, here: Here) -> None:
    if execution.epanet is not None:
        _check_epanet(execution.epanet, project, here)
        if execution.commands:
            here.reject("epanet", "stands beside `commands`", "A task has the one or the other.")
    for place, command in enumerate(execution.commands):
        if reason := wrong_command(command):
            here.reject(f"commands[{place}]", reason)
    for name, value in execution.env.items():
        _note(here, f"env.{name}" if name else "env", wrong_variable(name, value))
    if execution.results:
        _check_results(execution.results, project, here)
    if execution.timeout is not None:
        _note(here, "timeout", wrong_duration(execution.timeout))
    if execution.slots != 1:
        _note(here, "resources.slots", wrong_number(execution.slots, 1, MAX_SLOTS))
    if execution.memory is not None:
        _note(here, "resources.memory", wrong_number(execution.memory, 1, 1 << 50))


def _note(here: Here, field: str, reason: str) -> None:
    if reason:
        here.reject(field, reason)


def _check_epanet(run: EpanetRun, project: str, here: Here) -> None:
    """Network and table are names as well as paths, because they are requirements without being listed."""
    _note(here, "epanet.inp", wrong_name(run.inp, project))
    if isinstance(run.scenarios, str):
        _note(here, "epanet.scenarios", wrong_name(run.scenarios, project))
    else:
        _check_rows(run.scenarios, here)
    if run.rows is not None and not 0 <= run.rows[0] < run.rows[1]:
        here.reject(
            "epanet.rows", f"{list(run.rows)} is no range", "Write [first, last], the last row is not included."
        )


def _check_rows(rows: Sequence[dict[str, object]], here: Here) -> None:
    for place, row in enumerate(rows):
        for name, value in row.items():
            if isinstance(value, list | dict):
                here.reject(f"epanet.scenarios[{place}].{name}", "is a list or an object; a number or a text is wanted")


def _check_results(results: Sequence[ResultItem], project: str, here: Here) -> None:
    for place, item in enumerate(results):
        field = f"results[{place}]"
        _note(here, field, wrong_path(item.source))
        if item.target != item.source or wrong_path(item.source) == "":
            _note(here, field, wrong_name(item.target, project))
    if len(results) > 1:
        _check_distinct([item.target for item in results], "results", "go to", here)


def check_requirements(requirements: Sequence[tuple[str, str]], project: str, here: Here) -> None:
    for place, (name, path) in enumerate(requirements):
        field = f"requirements[{place}]"
        _note(here, field, wrong_name(name, project))
        if path != name:
            _note(here, field, wrong_path(path))
    if len(requirements) > 1:
        _check_distinct([path for _, path in requirements], "requirements", "come to", here)


def _check_distinct(paths: Sequence[str], field: str, verb: str, here: Here) -> None:
    """No path twice, and none that is a folder of another."""
    seen: set[str] = set(paths)
    if len(seen) < len(paths):
        double = next(path for place, path in enumerate(paths) if path in paths[:place])
        here.reject(field, f"two of them {verb} `{double}`")
    for path in paths:
        for folder in folders_of(path):
            if folder in seen:
                here.reject(field, f"`{folder}` would be both a file and the folder of `{path}`")


def folders_of(path: str) -> Iterable[str]:
    end = path.find("/")
    while end > 0:
        yield path[:end]
        end = path.find("/", end + 1)


def check_profile(profile: Profile, here: Here) -> None:
    if profile.retries is not None:
        _note(here, "retries", wrong_number(profile.retries, 0, MAX_RETRIES))
    _note(here, "priority", wrong_number(profile.priority, -PRIORITY_BOUND, PRIORITY_BOUND))
    for name, seconds in (("retry_delay", profile.retry_delay), ("retry_delay_max", profile.retry_delay_max)):
        if seconds is not None:
            _note(here, name, wrong_duration(seconds, zero=True))
    _note(here, "expect", wrong_duration(profile.expect, zero=True))
    _note(here, "pool", wrong_label(profile.pool))
    for code in profile.retry_on:
        _note(here, "retry_on", wrong_number(code, -64, 255) or ("0 is success" if code == 0 else ""))
    for key, value in profile.labels.items():
        _note(here, "labels", wrong_label(key) or wrong_label(value) or ("" if key else "has an empty key"))
