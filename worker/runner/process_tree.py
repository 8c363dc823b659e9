"""The end of an attempt's whole process tree: groups, sessions, daemons that left both.

Found by descent from the command, by session, and among orphans by the mark in their environment. TERM first, then KILL
until nothing is left.
"""

from __future__ import annotations

import time

from worker.runner.processes import Process, bears, end, look, orphans, reap, with_descendants

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
            if process.session in self.sessions or bears(pid, self._mark):
                if process.zombie:
                    reap(pid)
                else:
                    found.append(process)
        return found
