"""The provider of local processes: an instance is a worker agent beside the boss.

Its reference is the process's id and start time, so that a process of the same id that came later is never
taken for it. Agents outlive a killed boss on purpose; the next boss finds them by reference, or, if the boss
died before it knew that, by the worker's home in their environment.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from boss.common import processes
from boss.core.events import InstanceEnded, InstanceStarted, InstanceStartFailed
from boss.embedded.children import start_child
from boss.embedded.errors import EmbeddedError
from boss.providers.provider import BossServices, Limits, Notify, Recorded
from boss.setup import PoolSetup
from wire.descriptors import give_back

COMMAND = (sys.executable, "-P", "-m", "worker")
#: After the first TERM (give back what has not begun) comes a second (kill what runs), then KILL.
SECOND_TERM_SECONDS = 1.0
KILL_SECONDS = 15.0


class LocalProvider:
    """Starts `command` once for each worker, in the state directory, with a log below `logs`."""

    def __init__(
        self,
        notify: Notify,
        environment: Callable[[str], Mapping[str, str]],
        state_directory: Path,
        command: Sequence[str] = COMMAND,
    ) -> None:
        """`environment`: of a worker's process; may block, raises EmbeddedError, OSError."""
        self._notify = notify
        self._environment = environment
        self._state_directory = state_directory
        self._command = list(command)
        self._closed = False
        self.warning = ""

    def adopt(self, recorded: Iterable[Recorded]) -> None:
        """Notifies InstanceStarted of each that lives, which is watched, and InstanceEnded of the others. Blocks while
        processes are looked through. Raises EmbeddedError, OSError: the environment of a worker without a reference is
        not available.
        """
        for one in recorded:
            pid = self._living(one.reference) if one.reference else self._by_home(one.worker)
            if pid is None:
                why = "its process was gone when the boss started"
                self._tell(InstanceEnded(instance=one.instance, reason=why, unseen=True))
                continue
            self._watch(one.instance, pid)

    def start(self, instance: int, worker: str) -> None:
        """Start its process, for which this blocks. Notifies InstanceStarted, and InstanceEnded when the process ends;
        or InstanceStartFailed.
        """
        log = self._state_directory / "logs" / f"{worker}.log"
        try:
            pid = start_child(self._command, self._environment(worker), log, cwd=self._state_directory).pid
            give_back(pid)
        except (EmbeddedError, OSError) as error:
            self._tell(InstanceStartFailed(instance=instance, reason=f"the worker process cannot be started: {error}"))
            return
        self._watch(instance, pid)

    def stop(self, instance: int, worker: str, reference: str) -> None:
        """TERM, TERM after SECOND_TERM_SECONDS, KILL after KILL_SECONDS, in a thread; InstanceEnded follows, at once
        where the process is gone. Raises EmbeddedError, OSError: without a reference its environment is needed and not
        available.
        """
        pid = self._living(reference) if reference else self._by_home(worker)
        if pid is None:
            self._tell(InstanceEnded(instance=instance, reason="its process is gone"))
            return
        threading.Thread(target=self._end, args=(pid,), name=f"end {worker}", daemon=True).start()

    def limits(self) -> Limits:
        """Unknown: nothing but the pool's own limit bounds processes."""
        return Limits()

    def close(self) -> None:
        """Notifies no more; the processes live on."""
        self._closed = True

    def _end(self, pid: int) -> None:
        handle = processes.open_pidfd(pid)
        if handle is None:
            return
        try:
            for number, seconds in (
                (signal.SIGTERM, SECOND_TERM_SECONDS),
                (signal.SIGTERM, KILL_SECONDS),
                (signal.SIGKILL, KILL_SECONDS),
            ):
                signal.pidfd_send_signal(handle, number)
                if processes.exited(handle, seconds):
                    return
        except ProcessLookupError:
            return
        finally:
            os.close(handle)

    def _watch(self, instance: int, pid: int) -> None:
        """It runs: notify of that, and wait for its end."""
        self._tell(InstanceStarted(instance=instance, reference=f"{pid} {processes.start_time(pid)}"))
        threading.Thread(target=self._wait, args=(instance, pid), name=f"watch {pid}", daemon=True).start()

    def _wait(self, instance: int, pid: int) -> None:
        handle = processes.open_pidfd(pid)
        if handle is not None:
            processes.exited(handle, None)
            os.close(handle)
        self._tell(InstanceEnded(instance=instance, reason="its process ended"))

    def _living(self, reference: str) -> int | None:
        """The process of this reference, if it is the same one still, and ours: a copy of a state directory names the
        workers of the original."""
        pid, _, start_time = reference.partition(" ")
        if not pid.isdigit() or not start_time.isdigit():
            return None
        same = processes.start_time(int(pid)) == int(start_time)
        return int(pid) if same and processes.works_in(int(pid), self._state_directory) else None

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
            self._notify(event)


def make(pool: PoolSetup, services: BossServices) -> LocalProvider:
    """A provider of this boss's processes; the pool's settings say nothing to it."""
    return LocalProvider(services.notify, services.local_environment, services.state_directory)
