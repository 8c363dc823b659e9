"""Whose fault an error of the system is: this machine's, or that of the task whose files it is about. Pure.

A task may leave anything where a result is expected: a socket, a folder without rights, a name too long. Only what says
that the machine itself is out of something, or broken, is the machine's; all else would be the same on any other one.
"""

from __future__ import annotations

import errno

#: No space, no quota, a broken disk, no more open files (here, or on the whole machine), no memory, a file system that
#: became read-only, whose server forgot it, or whose device is gone.
_OF_THE_MACHINE = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EROFS,
        errno.ESTALE,
        errno.ENODEV,
    }
)


def is_of_machine(error: OSError) -> bool:
    return error.errno in _OF_THE_MACHINE
