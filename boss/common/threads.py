"""A thread that ends by an error takes its program with it: without it the program would look alive and do nothing.

Whatever a thread can come upon is handled where it happens; this is for what was not thought of. The program ends as if
it were killed, which loses nothing, and its keeper starts it again (a boss that a push started, by that push).
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)

#: Exit code of a program that ended so (EX_SOFTWARE of sysexits.h).
LOST_THREAD = 70


def end_with_lost_threads(end: Callable[[int], object] = os._exit) -> None:
    """From now on, for all threads of this process. `end`: what ends it, at once."""

    def lost(what: threading.ExceptHookArgs) -> None:
        name = what.thread.name if what.thread is not None else "unknown"
        error = (what.exc_type, what.exc_value, what.exc_traceback) if what.exc_value is not None else None
        logger.critical(
            "the thread %s ended by an error: this program ends as a whole (exit code %d) and is to be started again",
            name, LOST_THREAD, exc_info=error, extra={"action": "lost_thread"},
        )  # fmt: skip
        end(LOST_THREAD)

    threading.excepthook = lost
