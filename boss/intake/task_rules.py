"""The rules of `rules`, put to a whole task: its execution, its profile, its requirements.

It knows which field a value belongs to, in the words of our own dialect, and adds a rejection to what it is
given; it does not know other tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from boss.core.model import Profile
from boss.intake import rules
from boss.intake.errors import Here
from wire.messages import EpanetRun, Execution, ResultItem


def check_execution(execution: Execution, project: str, here: Here) -> None:
    if execution.epanet is not None:
        _check_epanet(execution.epanet, project, here)
        if execution.commands:
            here.reject("epanet", "stands beside `commands`", "A task has the one or the other.")
    for place, command in enumerate(execution.commands):
        if reason := rules.wrong_command(command):
            here.reject(f"commands[{place}]", reason)
    for name, value in execution.env.items():
        _note(here, f"env.{name}" if name else "env", rules.wrong_variable(name, value))
    if execution.results:
        _check_results(execution.results, project, here)
    if execution.timeout is not None:
        _note(here, "timeout", rules.wrong_duration(execution.timeout))
    if execution.slots != 1:
        _note(here, "resources.slots", rules.wrong_number(execution.slots, 1, rules.MAX_SLOTS))
    if execution.memory is not None:
        _note(here, "resources.memory", rules.wrong_number(execution.memory, 1, 1 << 50))


def _note(here: Here, field: str, reason: str) -> None:
    if reason:
        here.reject(field, reason)


def _check_epanet(run: EpanetRun, project: str, here: Here) -> None:
    """Network and table are names as well as paths, because they are requirements without being listed."""
    _note(here, "epanet.inp", rules.wrong_name(run.inp, project))
    if isinstance(run.scenarios, str):
        _note(here, "epanet.scenarios", rules.wrong_name(run.scenarios, project))
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
        _note(here, field, rules.wrong_path(item.source))
        if item.target != item.source or rules.wrong_path(item.source) == "":
            _note(here, field, rules.wrong_name(item.target, project))
    if len(results) > 1:
        _check_distinct([item.target for item in results], "results", "go to", here)


def check_requirements(requirements: Sequence[tuple[str, str]], project: str, here: Here) -> None:
    for place, (name, path) in enumerate(requirements):
        field = f"requirements[{place}]"
        _note(here, field, rules.wrong_name(name, project))
        if path != name:
            _note(here, field, rules.wrong_path(path))
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
        _note(here, "retries", rules.wrong_number(profile.retries, 0, rules.MAX_RETRIES))
    _note(here, "priority", rules.wrong_number(profile.priority, -rules.PRIORITY_BOUND, rules.PRIORITY_BOUND))
    for name, seconds in (("retry_delay", profile.retry_delay), ("retry_delay_max", profile.retry_delay_max)):
        if seconds is not None:
            _note(here, name, rules.wrong_duration(seconds, zero=True))
    _note(here, "expect", rules.wrong_duration(profile.expect, zero=True))
    _note(here, "pool", rules.wrong_label(profile.pool))
    for code in profile.retry_on:
        _note(here, "retry_on", rules.wrong_number(code, -64, 255) or ("0 is success" if code == 0 else ""))
    for key, value in profile.labels.items():
        _note(here, "labels", rules.wrong_label(key) or rules.wrong_label(value) or ("" if key else "has an empty key"))
