"""The end of an attempt's whole process tree: groups, sessions, daemons that left both.

Found by descent from the command, by session, and among orphans by the mark in their environment. TERM first, then KILL
until nothing is left.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from worker.runner.processes import Process, end, end_all, is_tagged, look, orphans, reap, with_descendants

_FIRST_LOOK = 0.005
_LONGEST_LOOK = 0.2


class ProcessTree:
    def __init__(self, mark: bytes, give_up_seconds: float) -> None:
        self._mark = mark
        #: After KILL.
        self._give_up_seconds = give_up_seconds
        #: Sessions (the pids of their leaders) that this attempt's commands were started in.
        self.sessions: list[int] = []
        #: When to look again; None while nothing is being ended.
        self.next_look: float | None = None
        #: Processes that did not even end by KILL.
        self.survivors: list[int] = []
        self._pause = _FIRST_LOOK
        self._kill_at: float | None = None
        self._asked: set[tuple[int, int]] = set()

    def begin_kill(self, leader: int, grace: float) -> None:
        self._kill_at = time.monotonic() + grace
        self.go_on(leader)

    def go_on(self, leader: int | None) -> None:
        """One more round of ending; the leader's own exit is seen by its pidfd."""
        roots = [process.pid for process in self._orphans()]
        self._press(with_descendants(roots if leader is None else [leader, *roots]))

    def is_gone(self, grace: float) -> bool:
        """Whether nothing of the attempt is left; what is left is being ended by then."""
        left = self._orphans()
        if not left:
            return True
        moment = time.monotonic()
        if self._kill_at is None:
            self._kill_at = moment + grace
        if moment >= self._kill_at + self._give_up_seconds:
            self.survivors = [process.pid for process in left]
            return True
        self._press(with_descendants([process.pid for process in left]))
        return False

    def end_at_once(self, leader: int) -> None:
        """KILL, and wait for it, whatever else goes on: after an error in its handling. Blocks for a moment.

        `leader`: of the command that runs, a child of ours that was not waited for, so its number is its own; 0: none.
        """
        if leader:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(leader, signal.SIGKILL)  # takes no descriptor, of which there may be none left
        until = time.monotonic() + self._give_up_seconds
        while time.monotonic() < until:
            try:
                self.survivors = [each.pid for each in end_all(lambda: self._all(leader), 0.0, 1.0)]
            except OSError:
                time.sleep(_FIRST_LOOK)
            else:
                break
        if leader:
            reap(leader)

    def _all(self, leader: int) -> list[Process]:
        roots = [process.pid for process in self._orphans()]
        return [each for each in with_descendants([leader, *roots] if leader else roots) if not each.zombie]

    def _press(self, processes: list[Process]) -> None:
        moment = time.monotonic()
        assert self._kill_at is not None
        kill = moment >= self._kill_at
        end(processes, kill, self._asked)
        self._pause = min(self._pause * 2, _LONGEST_LOOK)
        self.next_look = moment + self._pause
        if not kill:
            self.next_look = min(self.next_look, self._kill_at)

    def _orphans(self) -> list[Process]:
        """Orphans of this attempt; those that are only waiting to be reaped are reaped."""
        found = []
        for pid in orphans():
            process = look(pid)
            if process is None:
                continue
            if process.session in self.sessions or is_tagged(pid, self._mark):
                if process.zombie:
                    reap(pid)
                else:
                    found.append(process)
        return found
