"""Scripts that read what the commands of an earlier release print go on: to a pipe, as JSON, by exit codes and options.

Each command line of the stored outputs runs again, over the same state directory. `READERS` say how a script reads its
text, and `missing` what it would miss: more columns, lines and keys are no fault, and prose may be put otherwise.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

import admin
import push_tasks
from boss.configuration.pools import POOL_SETTINGS
from boss.database import Database
from settings import SETTINGS
from tests.worlds.stored_release import HERE, stored_commands, unpack_state

STORED = stored_commands()
PROGRAMS = {"admin.py": admin.app, "push_tasks.py": push_tasks.app}
#: Keys of JSON whose texts are prose, or say how the machine is that they were asked on.
FREE = frozenset(
    "hindrances reason cause quarantined warnings notes errors carry_on failed boss_address datastore_address "
    "free_bytes hours_spent".split()
)


class Copy:
    """A directory that holds the state directory, and the commands there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def ask(self, line: str, *more: str) -> dict[str, Any]:
        """As the stored outputs have it."""
        program, *arguments = line.split()
        if "get" in arguments:
            more = (*more, str(self.directory / "here"))
        result = CliRunner().invoke(PROGRAMS[program], [*arguments, *more])
        lines = [text.replace(str(self.directory), HERE).splitlines() for text in (result.stdout, result.stderr)]
        return {"stdout": lines[0], "stderr": lines[1], "exit": result.exit_code}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state directory with its database brought up to date, as by a boss, and the task files beside it."""
    directory = tmp_path_factory.mktemp("original")
    home = unpack_state(directory)
    Database.open(f"sqlite:///{home / 'ecloud.sqlite'}").close()
    for name, text in STORED["files"].items():
        (directory / name).write_text(text)
    return directory


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Iterator[Copy]:
    directory = shutil.copytree(original, tmp_path / "copy")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        patch.setenv("ECLOUD_HOME", str(directory / ".ecloud"))
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield Copy(directory)
    time.tzset()


# --- how scripts read the text -----------------------------------------------------------------------


def whole(lines: list[str]) -> object:
    """Every line as it is."""
    return lines


def status(lines: list[str]) -> object:
    """The four legacy lines, and the number of cancelled tasks."""
    return [*lines[:4], re.findall(r"^(\d+) tasks? cancelled", lines[4])]


def worker(lines: list[str]) -> object:
    """Fields by name. Why it is quarantined is prose."""
    rows = [dict(field.split(": ", 1) for field in line.split("  ")) for line in lines]
    return [{name: value for name, value in row.items() if name != "Quarantined"} | _presence(row) for row in rows]


def _presence(row: dict[str, str]) -> dict[str, bool]:
    return {"Quarantined": True} if "Quarantined" in row else {}


def task(lines: list[str]) -> object:
    """All that stands there, of an attempt its number and how it ended."""
    return [re.sub(r"^(Attempt \d+: \w+).*", r"\1", line) for line in lines]


def moves(lines: list[str]) -> object:
    """Time, what moved, from where to where. The cause is prose, and how a story's task stands is in its first line."""
    return [re.match(r".* -> [^:]*|[^:]*: \w+", line)[0] for line in lines]  # type: ignore[index]


def usage(lines: list[str]) -> object:
    """Size, number of files and folder; the sentences below are prose."""
    return [re.split(r" {2,}", line.strip()) for line in lines if line.startswith(" ")]


def pools(lines: list[str]) -> object:
    """Name, provider and number of instances of each, and the plan's line."""
    return [re.match(r"Pool \S+ \(\S+\): [^;]*|\tPlan", line)[0] for line in lines if re.match(r"Pool|\tPlan", line)]  # type: ignore[index]


def labels(lines: list[str]) -> object:
    """What stands before a colon."""
    return [line.partition(":")[0] for line in lines if re.match(r"\w+: ", line)]


def settings(lines: list[str]) -> object:
    """Value and origin by name, a renamed one by its present name."""
    found = (re.fullmatch(r"(\S+) {2,}(.*)  \((.*)\)", line) for line in lines)
    return {present(match[1]): (match[2].strip(), match[3]) for match in found if match}


def present(name: str) -> str:
    of_pool = re.match(r"pools\.\w+\.", name)
    prefix = of_pool[0] if of_pool else ""
    table = POOL_SETTINGS if of_pool else SETTINGS
    bare = name.removeprefix(prefix)
    return prefix + next((each.name for each in table if bare in (each.name, *each.formerly)), bare)


def init(lines: list[str]) -> object:
    """Where keys and logins are, and the lines for authorized_keys."""
    keys = [line for line in lines if line.startswith("restrict ")]
    return [keys, re.findall(rf"{HERE}\S*", "\n".join(lines))]


def numbers(lines: list[str]) -> object:
    """Of a sentence that says what was done."""
    return re.findall(r"\d+", lines[0]) if lines else []


#: Of what is not named here every line stays.
READERS: dict[str, Callable[[list[str]], object]] = {
    "status": status,
    "show_workers": worker,
    "show_task": task,
    "story": moves,
    "events": moves,
    "du": usage,
    "scaling": pools,
    "show_context": labels,
    "set_datastore": labels,
    "settings": settings,
    "init": init,
    "--check": numbers,
    **dict.fromkeys("retry_failed redo_task cancel drop_tasks pause_batch resume_batch release get".split(), numbers),
}


def read_text(line: str, lines: list[str]) -> object:
    return READERS.get(line.split()[1], whole)(lines)


def read_json(line: str, lines: list[str]) -> object:
    if line.split()[1] == "events":
        return [json.loads(each) for each in lines]
    value = json.loads("\n".join(lines)) if lines else None
    if line.split()[1] == "settings":
        return {present(each["name"]): (each["value"], each["origin"]) for each in value}
    return value


def missing(stored: object, now: object, where: str = "") -> Iterator[str]:
    """What a script that reads the one would miss in the other."""
    if isinstance(stored, dict) and isinstance(now, dict):
        for key, value in stored.items():
            if key not in now:
                yield f"{where}.{key} is gone"
            elif key not in FREE:
                yield from missing(value, now[key], f"{where}.{key}")
            elif type(value) is not type(now[key]):
                yield f"{where}.{key} was {value!r} and is {now[key]!r}"
    elif isinstance(stored, list) and isinstance(now, list) and len(stored) <= len(now):
        for at, value in enumerate(stored):
            yield from missing(value, now[at], f"{where}[{at}]")
    elif stored != now:
        yield f"{where} was {stored!r} and is {now!r}"


def errors(lines: list[str]) -> list[str]:
    """Without the warnings, which may be more."""
    return [line for line in lines if not line.startswith("Warning: ")]


def places(lines: list[str]) -> list[str]:
    """Of errors: the mark of the first line, and where each fault is."""
    return [line.partition(":")[0] if at == 0 else line.rpartition(": ")[0] for at, line in enumerate(lines)]


@pytest.mark.parametrize("line", STORED["said"])
def test_a_script_that_reads_the_text_goes_on(copy: Copy, line: str) -> None:
    stored, now = STORED["said"][line]["text"], copy.ask(line)
    assert now["exit"] == stored["exit"], now
    faults = list(missing(read_text(line, stored["stdout"]), read_text(line, now["stdout"])))
    assert not faults, "\n".join(faults)
    if stored["exit"]:
        assert places(errors(now["stderr"])) == places(stored["stderr"])


@pytest.mark.parametrize("line", STORED["said"])
def test_a_script_that_reads_the_json_goes_on(copy: Copy, line: str) -> None:
    stored, now = STORED["said"][line]["json"], copy.ask(line, "--json")
    assert now["exit"] == stored["exit"], now
    faults = list(missing(read_json(line, stored["stdout"]), read_json(line, now["stdout"])))
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("line", STORED["options"])
def test_a_command_takes_what_it_took(line: str) -> None:
    """The same options and arguments in the same shape, and none more that must be given."""
    program, _, name = line.partition(" ")
    command = typer.main.get_command(PROGRAMS[program])
    command = getattr(command, "commands", {})[name] if name else command
    now = {word: each for each in command.params for word in (*each.opts, *each.secondary_opts)}
    required = {id(each) for each in command.params if each.required}
    for stored in STORED["options"][line]:
        for word in stored["words"]:
            assert word in now, f"{line} {word} is gone"
            assert shape(now[word]) == {key: stored[key] for key in ("kind", "many", "flag")}
            if stored["required"]:
                required.discard(id(now[word]))
    assert not required


def shape(parameter: Any) -> dict[str, object]:
    many = getattr(parameter, "multiple", False) or parameter.nargs != 1
    return {"kind": parameter.param_type_name, "many": many, "flag": getattr(parameter, "is_flag", False)}


def test_what_a_script_would_miss_is_found() -> None:
    stored = {"a": [1, {"b": "x"}], "reason": "manual"}
    assert not list(missing(stored, {"a": [1, {"b": "x", "new": 0}, 2], "reason": "an operator", "c": 1}))
    for now in ({"a": [1]}, {**stored, "a": [1, {}]}, {**stored, "a": [1, {"b": "y"}]}, {**stored, "reason": 3}):
        assert list(missing(stored, now)), now
