"""One task as it stands in a file, in any dialect, to its line of the canonical stream.

It knows the fields of both dialects, the defaults, and what follows from an EPANET run; each field's shape
is read in `fields`. Rejections go to `Here`; what could be read goes on, so that the whole graph is still
checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from boss.core.model import Profile
from boss.intake import fields, rules
from boss.intake.collector import DATABASE_WORDS
from boss.intake.epanet import epanet, needed_files, result_names
from boss.intake.errors import Here, InputRejections, suggestion
from boss.intake.stream import StreamTask, raw
from wire.messages import EpanetRun, Execution, ResultItem

Parser = Callable[[object, str, Here], object]


class Dialect(NamedTuple):
    """How one form of task file names and writes its fields."""

    name: str
    #: Field as written -> (our own name, parser).
    fields: Mapping[str, tuple[str, Parser]]
    id_field: str
    commands_field: str


_OWN_PARSERS: dict[str, Parser] = {
    "id": fields.text,
    "commands": fields.commands,
    "epanet": epanet,
    "dependencies": fields.texts,
    "requirements": fields.pairs,
    "results": fields.pairs,
    "env": fields.text_map,
    "timeout": fields.duration_or_none,
    "retries": fields.integer,
    "retry_on": fields.exit_codes,
    "retry_delay": fields.duration,
    "priority": fields.integer,
    "resources": fields.resources,
    "pool": fields.text,
    "labels": fields.text_map,
    "init": fields.boolean,
    "overwrite_result": fields.boolean,
    "expect": fields.duration,
}
_DATABASE_PARSERS = {name: parser for name, parser in _OWN_PARSERS.items() if name in (*DATABASE_WORDS, "results")} | {
    "commands": fields.joined_commands
}

#: The MQTT era's array of tasks, and our own form, which is a superset of it.
OWN = Dialect("", {name: (name, parser) for name, parser in _OWN_PARSERS.items()}, "id", "commands")
DATABASE = Dialect(
    "database",
    {DATABASE_WORDS.get(name, name): (name, parser) for name, parser in _DATABASE_PARSERS.items()},
    "key",
    "cmd",
)

#: What `defaults` may hold, and which of it is merged key by key.
DEFAULT_FIELDS = tuple(
    name for name in _OWN_PARSERS if name not in ("id", "commands", "dependencies", "results", "init")
)
_MERGED = ("env", "labels", "resources", "epanet")

_PROFILE_FIELDS = frozenset(
    {"pool", "labels", "priority", "retries", "retry_on", "retry_delay", "overwrite_result", "expect"}
)
_NOT_FOR_INIT = ("epanet", *sorted(_PROFILE_FIELDS - {"overwrite_result"}))
_TRANSLATED = {ours: theirs for theirs, ours in DATABASE_WORDS.items()}


def is_database(task: object) -> bool:
    """Whether a file whose first task is this one is of the database era."""
    if not isinstance(task, dict) or "id" in task or "commands" in task:
        return False
    return any(word in task for word in DATABASE_WORDS.values())


def read_defaults(value: object, project: str, rejections: InputRejections) -> dict[str, object]:
    """The defaults that are usable, still as written. What is wrong with them is reported here, once, and left out."""
    here = Here(rejections)
    if not isinstance(value, dict):
        here.reject("defaults", f"is {fields.word_of(value)}, and an object is wanted")
        return {}
    here.prefix = "defaults."
    return {name: content for name, content in value.items() if _is_usable(name, content, project, here)}


def _is_usable(name: str, content: object, project: str, here: Here) -> bool:
    before = here.rejections.count
    if name not in DEFAULT_FIELDS:
        here.reject(name, "has no place in the defaults", suggestion(name, DEFAULT_FIELDS))
        return False
    if name == "epanet" and isinstance(content, dict):
        content = {"inp": "x", **content}  # may be a part only, which the tasks complete
    parsed = _parse({name: content}, OWN, here)
    rules.check_requirements(parsed.get("requirements", []), project, here)
    execution = _execution(parsed, [], parsed.get("epanet"))
    if execution is not None:
        rules.check_execution(execution, project, here)
    rules.check_profile(_profile(parsed), here)
    return here.rejections.count == before


def _with_defaults(task: dict[str, object], defaults: dict[str, object]) -> dict[str, object]:
    merged = {**defaults, **task}
    for name in _MERGED:
        given, own = defaults.get(name), task.get(name)
        if isinstance(given, dict) and isinstance(own, dict):
            merged[name] = {**given, **own}
    if "epanet" in defaults and "epanet" not in task:
        del merged["epanet"]
    return merged


def describe(value: object, dialect: Dialect, defaults: dict[str, object], here: Here) -> StreamTask | None:
    """The line of a task; None where it has not even an id. `here.task` is set to its id."""
    if not isinstance(value, dict):
        here.reject("", f"is {fields.word_of(value)}, and an object is wanted")
        return None
    id = value.get(dialect.id_field)
    here.task = id if isinstance(id, str) else ""
    _check_fields(value, dialect, here)
    init = value.get("init") is True and dialect is OWN
    parsed = _parse(_with_defaults(value, defaults) if defaults else value, dialect, here)
    if init:
        _check_init(value, here)
    if not isinstance(id, str):
        return None
    return _line(id, parsed, init, here)


def _check_fields(task: dict[str, object], dialect: Dialect, here: Here) -> None:
    for name in task:
        if name not in dialect.fields:
            here.reject(name, "is no field of a task", _suggest(name, dialect))
    if dialect.id_field not in task:
        here.reject(dialect.id_field, "is missing", "Each task needs an id of its own.")
    if dialect.commands_field not in task and "epanet" not in task:
        here.reject(dialect.commands_field, "is missing", "An empty list is a task that does nothing and succeeds.")
    if dialect.commands_field in task and "epanet" in task and dialect is OWN:
        here.reject("epanet", "stands beside `commands`", "A task has the one or the other.")


def _suggest(name: str, dialect: Dialect) -> str:
    translated = (DATABASE_WORDS if dialect is DATABASE else _TRANSLATED).get(name)
    if translated:
        return f"In this file's form it is called `{translated}`."
    if dialect is DATABASE and name in OWN.fields:
        return "The database era's form (`key`, `cmd`) has no such field; use `id`, `commands` and the rest instead."
    return suggestion(name, dialect.fields)


def _parse(task: dict[str, object], dialect: Dialect, here: Here) -> dict[str, Any]:
    """Own field name -> value, without those that could not be read."""
    parsed = {}
    for name, content in task.items():
        known = dialect.fields.get(name)
        if known is not None:
            value = known[1](content, name, here)
            if value is not None:
                parsed[known[0]] = value
    return parsed


def _check_init(task: dict[str, object], here: Here) -> None:
    for name in _NOT_FOR_INIT:
        if name in task:
            here.reject(name, "has no meaning for an init task, which runs once on each worker", "Leave it out.")


def _line(id: str, parsed: dict[str, Any], init: bool, here: Here) -> StreamTask:
    requirements, results = parsed.get("requirements", []), parsed.get("results")
    run: EpanetRun | None = parsed.get("epanet")
    if run is not None and not init:
        parsed.pop("commands", None)
        requirements = _with_needed(requirements, run)
        results = _run_results(id, run, here) if results is None else results
    line = StreamTask(id=id, dependencies=parsed.get("dependencies", []), requirements=requirements, init=init)
    execution = _execution(parsed, results or [], None if init else run)
    if execution is not None:
        line.execution = raw(execution)
    if not init and not _PROFILE_FIELDS.isdisjoint(parsed):
        line.profile = raw(_profile(parsed))
    return line


def _profile(parsed: dict[str, Any]) -> Profile:
    return Profile(**{name: value for name, value in parsed.items() if name in _PROFILE_FIELDS})


#: Fields that most tasks have and no execution is made of; with `commands` alone beside them it is a short one.
_NOT_IN_EXECUTION = frozenset({"id", "dependencies", "requirements", "init", *_PROFILE_FIELDS})


def _execution(parsed: dict[str, Any], results: list[fields.Pair], run: EpanetRun | None) -> Execution | None:
    if run is None and not results and _NOT_IN_EXECUTION.issuperset(parsed.keys() - {"commands"}):
        return Execution(commands=parsed["commands"]) if parsed.get("commands") else None
    resources = parsed.get("resources", {})
    return Execution(
        commands=parsed.get("commands", []),
        epanet=run,
        env=parsed.get("env", {}),
        results=[ResultItem(source=source, target=target) for source, target in results],
        timeout=parsed.get("timeout"),
        slots=resources.get("slots", 1),
        memory=resources.get("memory"),
    )


def _with_needed(requirements: list[fields.Pair], run: EpanetRun) -> list[fields.Pair]:
    """The network and the table of scenarios are requirements, listed or not."""
    listed = {path for _, path in requirements}
    needed = [path for path in dict.fromkeys(needed_files(run)) if path not in listed and not rules.wrong_path(path)]
    return [*requirements, *((path, path) for path in needed)]


def _run_results(id: str, run: EpanetRun, here: Here) -> list[fields.Pair]:
    """What a run leaves goes to a folder that is called as the task is."""
    names = result_names(run)
    if rules.wrong_path(id) or rules.shortest(id) != id:
        here.reject(
            "results",
            "is missing, and the id is no path that could be the folder of this run's results",
            'Write `results` out, such as [["pressure.parquet", "here/pressure.parquet"]], or [] for none.',
        )
        return []
    return [(name, f"{id}/{name}") for name in names]
