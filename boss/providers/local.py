"""The provider of local processes: an instance is a worker agent beside the boss.

Its reference is the process's id and start time, so that a process of the same id that came later is never
taken for it. Agents outlive a killed boss on purpose; the next boss finds them by reference, or, if the boss
died before it knew that, by the worker's home in their environment.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from boss.core.events import InstanceEnded, InstanceStarted, InstanceStartFailed
from boss.providers.provider import Limits, Notify, Recorded, Surroundings
from boss.setup import PoolSetup

logger = logging.getLogger(__name__)

#: After the first TERM (give back what has not begun) comes a second (kill what runs), then KILL.
SECOND_TERM_SECONDS = 1.0
KILL_SECONDS = 15.0


class LocalProvider:
    """Starts `command` once for each worker, with `environment(worker)`.

    `spawn(argv, environment, log_path)` starts a process in a session of its own and returns its id;
    `identify(pid)` returns its start time, None if there is no such process. Both are handed in, because
    an edge does not import another one.
    """

    def __init__(
        self,
        told: Notify,
        command: list[str],
        environment: Callable[[str], Mapping[str, str]],
        log_path: Callable[[str], Path],
        spawn: Callable[[list[str], Mapping[str, str], Path], int],
        identify: Callable[[int], int | None],
    ) -> None:
        self._told = told
        self._command = command
        self._environment = environment
        self._log_path = log_path
        self._spawn = spawn
        self._identify = identify
        self._closed = False
        self.trouble = ""

    def adopt(self, recorded: Iterable[Recorded]) -> None:
        for one in recorded:
            pid = self._living(one.reference) if one.reference else self._by_home(one.worker)
            if pid is None:
                why = "its process was gone when the boss started"
                self._tell(InstanceEnded(instance=one.instance, reason=why, unseen=True))
                continue
            start_time = self._identify(pid)
            self._tell(InstanceStarted(instance=one.instance, reference=f"{pid} {start_time}"))
            self._watch(one.instance, pid)

    def start(self, instance: int, worker: str) -> None:
        environment = self._environment(worker)
        try:
            pid = self._spawn(self._command, environment, self._log_path(worker))
        except Exception as error:  # of whatever kind `spawn` raises: it is handed in
            self._tell(InstanceStartFailed(instance=instance, reason=f"the worker process cannot be started: {error}"))
            return
        self._tell(InstanceStarted(instance=instance, reference=f"{pid} {self._identify(pid)}"))
        self._watch(instance, pid)

    def stop(self, instance: int, worker: str, reference: str) -> None:
        pid = self._living(reference) if reference else self._by_home(worker)
        if pid is None:
            self._tell(InstanceEnded(instance=instance, reason="its process is gone"))
            return
        threading.Thread(target=self._end, args=(pid,), name=f"end {worker}", daemon=True).start()

    def limits(self) -> Limits:
        return Limits()

    def lives(self, reference: str) -> bool:
        return self._living(reference) is not None

    def close(self) -> None:
        self._closed = True

    def _end(self, pid: int) -> None:
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            return
        try:
            for number, seconds in (
                (signal.SIGTERM, SECOND_TERM_SECONDS),
                (signal.SIGTERM, KILL_SECONDS),
                (signal.SIGKILL, KILL_SECONDS),
            ):
                signal.pidfd_send_signal(handle, number)
                if _gone(handle, seconds):
                    return
        except ProcessLookupError:
            return
        finally:
            os.close(handle)

    def _watch(self, instance: int, pid: int) -> None:
        threading.Thread(target=self._wait, args=(instance, pid), name=f"watch {pid}", daemon=True).start()

    def _wait(self, instance: int, pid: int) -> None:
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            self._tell(InstanceEnded(instance=instance, reason="its process ended"))
            return
        _gone(handle, None)
        os.close(handle)
        self._tell(InstanceEnded(instance=instance, reason="its process ended"))

    def _living(self, reference: str) -> int | None:
        """The process of this reference, if it is the same one still."""
        pid, _, start_time = reference.partition(" ")
        if not pid.isdigit() or not start_time.isdigit():
            return None
        return int(pid) if self._identify(int(pid)) == int(start_time) else None

    def _by_home(self, worker: str) -> int | None:
        """A running agent with this worker's home: one whose start is not on record."""
        wanted = f"ECLOUD_WORKER_HOME={self._environment(worker)['ECLOUD_WORKER_HOME']}".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                variables = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if wanted in variables and self._command[-1].encode() in command and b"-m" in command:
                return int(entry.name)
        return None

    def _tell(self, event: InstanceStarted | InstanceStartFailed | InstanceEnded) -> None:
        if not self._closed:
            self._told(event)


def make(pool: PoolSetup, around: Surroundings) -> LocalProvider:
    return LocalProvider(
        told=around.told,
        command=around.command,
        environment=around.environment,
        log_path=around.log_path,
        spawn=around.spawn,
        identify=around.identify,
    )


def _gone(handle: int, seconds: float | None) -> bool:
    """Wait for the end of the process behind a pidfd."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))
