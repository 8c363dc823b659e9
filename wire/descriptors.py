"""How many files and connections a program may have open: as many as the system allows it, not the usual 1,024.

Each of the three programs raises its own limit when it starts. What users run gets back the limit that the program was
started with: programs that use `select`, or close every possible descriptor, count on a small one.
"""

from __future__ import annotations

import contextlib
import resource

#: More is not asked for: some programs that inherit it keep a table of that size.
LIMIT = 65_536

_former: list[int] = []


def raise_limit() -> None:
    """The soft limit becomes the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = LIMIT if hard == resource.RLIM_INFINITY else min(hard, LIMIT)
    if soft == resource.RLIM_INFINITY or soft >= highest:
        return
    with contextlib.suppress(OSError, ValueError):  # a container may refuse it
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
        _former[:] = [soft]


def limit() -> int:
    """As it is now."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return LIMIT if soft == resource.RLIM_INFINITY else soft


def former() -> int | None:
    """The soft limit that this program was started with; None: it is still that one."""
    return _former[0] if _former else None


def give_back(pid: int) -> None:
    """A process that we have just started has the limit that we were started with."""
    if _former:
        with contextlib.suppress(OSError, ValueError):  # it has ended already
            hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (_former[0], hard))


def within_limit(wanted: int, for_each: int, reserve: int) -> int:
    """So many of what takes `for_each` descriptors, with `reserve` for all else; at least one."""
    return max(1, min(wanted, (limit() - reserve) // for_each))
