"""A thread that ends by an error takes its program with it: without it the program would look alive and do nothing.

Whatever a thread can come upon is handled where it happens; this is for what was not thought of. The program ends as if
it were killed, which loses nothing, and its keeper starts it again.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)

#: Exit code of a program that ended so (EX_SOFTWARE of sysexits.h).
LOST_THREAD = 70


_end: Callable[[int], object] = os._exit


def end_with_lost_threads(end: Callable[[int], object] = os._exit) -> None:
    """From now on, for all threads of this process. `end`: what ends it, at once."""
    global _end
    _end = end
    threading.excepthook = lambda what: lose_thread(what.exc_value)


def lose_thread(error: BaseException | None) -> None:
    """For threads of an executor, which keeps their errors to itself."""
    logger.critical(
        "the thread %s ended by an error: this program ends as a whole (exit code %d) and is to be started again",
        threading.current_thread().name, LOST_THREAD, exc_info=error, extra={"action": "lost_thread"},
    )  # fmt: skip
    _end(LOST_THREAD)
