"""What push_tasks.py and admin.py end with; the one place where these numbers stand."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    #: Everything asked for was done; for a push that was followed: all its tasks succeeded.
    OK = 0
    #: The push was carried out and not all of its tasks succeeded.
    TASKS_FAILED = 1
    #: A task file, option, setting or id that cannot be; nothing was changed.
    BAD_INPUT = 2
    #: No boss to be had, or the boss refused; what was not accepted left nothing.
    NO_BOSS = 3
    #: Ctrl-C. What was accepted stays; the same command goes on with it.
    INTERRUPTED = 130
