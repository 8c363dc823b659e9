"""What a worker will do for a task, as a list of commands for users to read.

Nothing runs these lines: transfers are orders to the datastore, and cleaning up removes the attempt's
directory. They say the same thing in the words of a shell, in the order in which it happens.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Sequence
from typing import Literal, NamedTuple

from wire.messages import EpanetRun, Execution, Input

Kind = Literal["download", "run", "upload", "cleanup"]


class PlacePaths(NamedTuple):
    """How the places are called in the lines."""

    #: Root of the project's tree on the datastore.
    tree: str = "ecloud-data"
    #: The attempt's working directory.
    work: str = "work"
    #: `user@host` of the worker, as rsync and ssh take it; empty is the datastore's machine.
    worker: str = ""
    #: Of its sshd.
    port: int = 22


def derived_commands(execution: Execution, requirements: Sequence[Input], places: PlacePaths) -> list[tuple[Kind, str]]:
    """Downloads, the task's own commands, uploads, cleaning up."""
    lines: list[tuple[Kind, str]] = []
    for item in requirements:
        if item.folder:
            lines.append(("download", f"mkdir -p -- {shlex.quote(posixpath.join(places.work, item.path))}"))
            continue
        source = posixpath.join(places.tree, item.name)
        lines.append(("download", _copy(source, _at_work(places, item.path), places)))
    lines += [("run", command) for command in run_commands(execution)]
    for result in execution.results:
        target = posixpath.join(places.tree, result.target)
        lines.append(("upload", _copy(_at_work(places, result.source), target, places)))
    lines.append(("cleanup", f"rm -r -- {shlex.quote(places.work)}"))
    return lines


def run_commands(execution: Execution) -> list[str]:
    """The task's own commands, one line each."""
    if execution.epanet is not None:
        return [_epanet(execution.epanet)]
    return [command if isinstance(command, str) else shlex.join(command) for command in execution.commands]


def _at_work(places: PlacePaths, path: str) -> str:
    place = posixpath.join(places.work, path)
    return f"{places.worker}:{place}" if places.worker else place


def _copy(source: str, target: str, places: PlacePaths) -> str:
    program = "rsync -a --mkpath" if places.worker else "cp -a"
    if places.port != 22:
        program += f" -e 'ssh -p {places.port}'"
    return f"{program} -- {shlex.quote(source)} {shlex.quote(target)}"


def _epanet(run: EpanetRun) -> str:
    words = ["python3", "-m", "worker.epanet", "run", run.inp]
    if isinstance(run.scenarios, str):
        words += ["--scenarios", run.scenarios]
    if run.rows is not None:
        words += ["--rows", f"{run.rows[0]}:{run.rows[1]}"]
    words += ["--out", str(run.output.get("directory") or ".")]
    line = shlex.join(words)
    if isinstance(run.scenarios, list) and run.scenarios:
        line += f"  # {len(run.scenarios)} scenarios written in the task"
    return line
