"""A child process that is started again whenever it ends, until it is stopped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from boss.embedded.children import Child, ChildError, last_lines, start_child

logger = logging.getLogger(__name__)

#: Between its end and the next start.
RESTART_SECONDS = 1.0


class KeptChild:
    """`start` once, `stop` at the end. It ends with this process too. All calls are safe from any thread."""

    def __init__(
        self, name: str, argv: Sequence[str], environment: Mapping[str, str], log_path: Path, cwd: Path
    ) -> None:
        """`name`: for sentences and for the log."""
        self._name = name
        self._argv = list(argv)
        self._environment = environment
        self._log_path = log_path
        self._cwd = cwd
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._child: Child | None = None
        #: Why it does not run, or did not until a moment ago; a sentence; empty: it runs.
        self.warning = ""

    def start(self) -> None:
        """Where it cannot be started, `warning` says why, and it is not tried again."""
        try:
            self._start()
        except ChildError as error:
            self.warning = str(error)

    def _start(self) -> None:
        """Raises ChildError."""
        with self._lock:
            if self._closed.is_set():
                return
            self._child = start_child(
                self._argv,
                self._environment,
                self._log_path,
                die_with_parent=True,
                cwd=self._cwd,
                name=self._name,
                ended=self._ended,
            )

    def stop(self, grace: float) -> None:
        """TERM, KILL after `grace` seconds; blocks until it has ended."""
        self._closed.set()
        with self._lock:
            if self._child is not None:
                self._child.terminate(grace)

    def _ended(self, child: Child) -> None:
        """In the child's own thread."""
        if self._closed.is_set():
            return
        action = f"{self._name}_ended"
        logger.info("the %s's program ended; it is started again", self._name, extra={"action": action})
        said = last_lines(self._log_path) or "nothing"
        self.warning = f"the {self._name}'s program ended and is started again; {self._log_path} ends with: {said}"
        while not self._closed.wait(RESTART_SECONDS):
            try:
                self._start()
            except ChildError as error:
                self.warning = str(error)
            else:
                self.warning = ""
                return
