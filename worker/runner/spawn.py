"""From a command to what a process is started with: argument list, environment, memory limit; and whose fault it is
when it cannot be started. Starts nothing itself (see `launch`).
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from wire.messages import Run

#: Where the agent's own packages are: a task that imports `settings` or `worker` means modules of its own.
_ROOT = Path(__file__).resolve().parents[2]
#: A longer line for the shell goes through a file: the kernel takes 128 kB as one argument.
_LINE_MAX = 100_000
#: Variables of the agent's own start that no task may see.
_OWN = "ECLOUD_"
#: Every process that the agent starts has this variable: a later start finds by it what an earlier one left.
MARK = "ECLOUD_MARK"


def base_environment(environ: Mapping[str, str], module_directory: Path | str) -> dict[str, str]:
    """What every task sees: the agent's environment without the agent's own settings, its Python and `ecloud` first."""
    result = {name: value for name, value in environ.items() if not name.startswith(_OWN)}
    result["PATH"] = _first(os.path.dirname(sys.executable), result.get("PATH", os.defpath))
    others = [path for path in result.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(_ROOT)]
    result["PYTHONPATH"] = _first(str(module_directory), os.pathsep.join(others))
    return result


def _first(path: str, others: str) -> str:
    return f"{path}{os.pathsep}{others}" if others else path


def task_environment(base: Mapping[str, str], run: Run, worker: str, mark: str) -> dict[str, str]:
    return {
        **base,
        "ECLOUD_TASK": str(run.task),
        "ECLOUD_TASK_ID": run.id,
        "ECLOUD_ATTEMPT": str(run.attempt),
        "ECLOUD_BATCH": str(run.batch),
        "ECLOUD_PROJECT": run.project,
        "ECLOUD_WORKER": worker,
        "ECLOUD_SLOTS": str(run.execution.slots),
        **run.execution.env,
        MARK: f"{mark}{run.task}.{run.attempt}",
    }


def mark_of(home: Path | str) -> str:
    """The beginning of every mark of this home."""
    return f"{home}:"


def text_of(command: str | list[str]) -> str:
    """A command as a user would write it."""
    return command if isinstance(command, str) else subprocess.list2cmdline(command)


def arguments_of(
    command: str | list[str], memory: int | None, directory: str, index: int, descriptors: int | None = None
) -> list[str]:
    """The argument list. A limit of memory holds for each process of the command and all that it starts.

    `descriptors`: the soft limit that a line for the shell is to have; an argument list gets it from who starts it.
    """
    if isinstance(command, str) and descriptors is not None:
        command = f"ulimit -S -n {descriptors}; {command}"  # on its first line: those of error messages stay
    if isinstance(command, list):
        arguments = command
    elif len(command) < _LINE_MAX // 4 or len(command.encode()) < _LINE_MAX:
        arguments = ["/bin/sh", "-c", command]
    else:
        script = f"{directory}/command-{index}.sh"
        Path(script).write_text(command, encoding="utf-8")
        arguments = ["/bin/sh", script]
    if memory is None:
        return arguments
    # `-d` counts what a process writes to, not the address space that it reserves.
    return ["/bin/sh", "-c", 'ulimit -d "$0" && exec "$@"', str(max(memory // 1024, 1)), *arguments]


#: Errors of a start that the command itself is to blame for, and the exit code that a shell gives them.
_OF_THE_COMMAND = {
    errno.ENOENT: 127,
    errno.EACCES: 126,
    errno.ENOEXEC: 126,
    errno.ENOTDIR: 126,
    errno.ELOOP: 126,
    errno.ENAMETOOLONG: 126,
    errno.E2BIG: 126,
    errno.EISDIR: 126,
}


def blame(error: Exception, directory: str, index: int = 0) -> int | None:
    """The exit code if the command cannot be started anywhere; None if this worker cannot start it now.

    `index`: of the command. A working directory that is gone before the first one runs, no task has removed.
    """
    if isinstance(error, ValueError):  # a NUL byte, a name of a variable with '='
        return 126
    if isinstance(error, OSError) and (error.filename != directory or index):
        return _OF_THE_COMMAND.get(error.errno or 0)
    return None
