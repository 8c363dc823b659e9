"""Become another program that gets TERM when its parent ends: `parent_death.py PARENT PROGRAM ARGUMENTS...`.

Used where util-linux's `setpriv` is missing. Run as a file, in isolated mode: it must import nothing of ours, and
leaves nothing behind, since the program takes its place.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    parent, program = int(arguments[0]), arguments[1]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        sys.stderr.write(f"parent_death: prctl failed: {os.strerror(ctypes.get_errno())}\n")
        return 125
    if os.getppid() != parent:
        return 125
    os.execv(program, arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
