"""What goes wrong in a worker's program. Values only; the root is never caught.

    WorkerError
    ├── OptionError         the environment: options or variables that cannot be used, one line each
    ├── HomeError           the environment: the worker's home cannot be used
    ├── InputMissingError   an input is not in the cache, or was damaged there: it must be staged again
    ├── PlacingError        the task: an input that can never be placed
    └── ResultsError        the task: a declared result is not there or cannot be one

`worker.agent` and `worker.epanet` know nothing of the rest of the program: they have trees of their own.
"""

from __future__ import annotations


class WorkerError(Exception):
    """The text is a sentence."""
