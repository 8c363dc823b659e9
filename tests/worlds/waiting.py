"""How long tests wait for what must come: every bound against hanging goes through here, and is scaled to the machine.

The seconds that a test names are meant for an idle machine. A run multiplies them all by its timeout factor (the option
`--timeout-factor`, else measured when it begins), which children of the tests inherit by environment. Seconds that are
the subject of a test, such as the timeout of a task or how long a lease lasts, are not scaled.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

#: The variable that carries the factor from the run to its processes.
FACTOR_VARIABLE = "TESTS_TIMEOUT_FACTOR"

T = TypeVar("T")


def scaled(seconds: float) -> float:
    """So many seconds of an idle machine, as this run allows them."""
    return seconds * float(os.environ.get(FACTOR_VARIABLE) or 1)


def wait_for(
    condition: Callable[[], T],
    what: str,
    seconds: float = 60.0,
    *,
    every: float = 0.02,
    check: Callable[[], object] = lambda: None,
    story: Callable[[], str] = lambda: "",
) -> T:
    """What the condition returns, as soon as that is true.

    Raises AssertionError with `what` and the story if it does not come true in so many (scaled) seconds. `check` is
    called before each new look, to raise when it is in vain to wait on.
    """
    allowed = scaled(seconds)
    deadline = time.monotonic() + allowed
    while not (value := condition()):
        check()
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {allowed:g} s: {what}\n{story()}".rstrip())
        time.sleep(every)
    return value
