"""worker/startup.sh as it goes to a machine: with the program that it starts inside, so that it needs nothing else.

In a checkout the script has a mark in the program's place, and starts the program that lies beside it. It is completed
here, where it leaves the checkout: in a bundle, and as the start script of an instance.
"""

from __future__ import annotations

from pathlib import Path

from boss.embedded.environments import ROOT

#: The script and its program, below the folder that holds the packages.
STARTUP = "worker/startup.sh"
_PROGRAM = "worker/bootstrap/bootstrap.py"
#: The line of the script in whose place the program comes.
_MARK = "\n@BOOTSTRAP@\n"


def start_script(root: Path = ROOT) -> str:
    """The complete script; holds no secret. `root`: a checkout, or a bundle, whose script is complete already.

    Raises OSError.
    """
    script = (root / STARTUP).read_text(encoding="utf-8")
    before, mark, after = script.partition(_MARK)
    if not mark:
        return script
    program = (root / _PROGRAM).read_text(encoding="utf-8").strip("\n")
    return f"{before}\n{program}\n{after}"
