"""Halting this machine, when its worker was cut off from the boss for too long: a lost machine must not cost for ever.

Only a machine that a boss started is ever halted: its context says so, in a file
that the agent's user cannot have made.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from worker.bootstrap.bootstrap import CONTEXT_FILE, mark, read_json

#: Tried in this order, unless the setting says otherwise.
USUAL = ("systemctl poweroff", "poweroff", "halt -p -f")
EVIDENCE = Path("/etc/ecloud") / CONTEXT_FILE
_YES = ("1", "yes", "true", "YES", "TRUE")


def refusal(variables: Mapping[str, str], evidence: Path = EVIDENCE, owner: int = 0) -> str:
    """Why this machine is not halted; empty: a boss started it, and its context allows it."""
    if not all(mark(variables)):
        return "nothing says that this is a machine that a boss started (ECLOUD_INSTANCE is not set)"
    try:
        about = os.stat(evidence)
    except OSError:
        return f"nothing says that this is a machine that a boss started (there is no {evidence})"
    if about.st_uid != owner or about.st_mode & 0o022:
        return f"{evidence} could have been written by others"
    context = read_json(evidence)
    if mark(context) != mark(variables):
        return f"{evidence} is of another instance"
    if str(context.get("ECLOUD_HALT_WHEN_ORPHANED", "")) not in _YES:
        return f"{evidence} does not say that it may be halted (ECLOUD_HALT_WHEN_ORPHANED)"
    return ""


def halt(command: str) -> str:
    """Give the command, or the usual ones in turn; why none of them could be given, empty if one was."""
    faults = []
    for line in [command] if command else USUAL:
        try:
            done = subprocess.run(shlex.split(line), stdin=subprocess.DEVNULL, timeout=60, check=False)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            faults.append(f"{line}: {error}")
            continue
        if done.returncode == 0:
            return ""
        faults.append(f"{line} ended with {done.returncode}")
    return "; ".join(faults)
