"""A worker's home directory: made, locked against a second agent, cleaned of what a killed agent left.

<home>/lock  journal.jsonl  sessions  progress  module/ecloud.py  cache/<hex>  attempts/<task>.<attempt>/
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
from collections.abc import Container
from pathlib import Path

from wire.messages import AttemptKey
from worker.errors import WorkerError
from worker.files import replace_file
from worker.runner.processes import Process, end_all, is_tagged, look
from worker.runner.sessions import read_sessions
from worker.runner.spawn import MARK, mark_of

logger = logging.getLogger(__name__)


class HomeError(WorkerError):
    """The home cannot be used; says why and what to do."""


class Home:
    def __init__(self, path: Path) -> None:
        """Make it, and take its lock. Raises HomeError."""
        self.path = path.absolute()
        self.attempts = self.path / "attempts"
        try:
            for folder in (self.path, self.attempts, self.path / "module"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HomeError(f"cannot use {self.path} as a worker's home: {error.strerror}") from None
        self._take_lock()

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._lock)
            raise HomeError(
                f"another agent (process {holder}) works in {self.path}: end it first, "
                "or give this one a home of its own (ECLOUD_WORKER_HOME or --home)"
            ) from None
        with contextlib.suppress(OSError):  # the lock holds; who holds it is for sentences only
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def provide_module(self, source: Path) -> Path:
        """The directory that tasks find `ecloud` in, and nothing else of ours. Raises HomeError."""
        module, content = self.path / "module" / "ecloud.py", source.read_bytes()
        try:
            if not (module.is_file() and module.read_bytes() == content):
                os.close(replace_file(module, content))
        except OSError as error:
            raise HomeError(f"cannot write {module}, which tasks import: {error.strerror}") from None
        return module.parent

    def end_leftovers(self, grace: float) -> None:
        """End what a killed agent left running, and wait for it, before any other work."""
        sessions = read_sessions(self.path / "sessions")
        mark = f"{MARK}={mark_of(self.path)}".encode()
        mine = _ancestry()

        def find() -> list[Process]:
            return [process for process in _all() if process.pid not in mine and _left(process, sessions, mark)]

        found = find()
        if found:
            pids = [process.pid for process in found]
            logger.warning(
                "ending %d processes of an agent that was killed: %s",
                len(pids),
                pids,
                extra={"action": "end_leftovers"},
            )
            survivors = end_all(find, grace, timeout=10.0)
            if survivors:
                raise HomeError(f"processes of an earlier agent do not end: {[each.pid for each in survivors]}")
        (self.path / "sessions").unlink(missing_ok=True)

    def remove_attempts(self, except_those: Container[AttemptKey]) -> None:
        """Remove the directories of attempts that no outcome is kept of."""
        for entry in list(os.scandir(self.attempts)):
            if _key(entry.name) not in except_those:
                self._remove(Path(entry.path))
        self._remove(self.path / "spare")

    def _remove(self, path: Path) -> None:
        if not remove_tree(path):
            logger.warning(
                "cannot remove %s: it is tried again at the next start", path, extra={"action": "leave_tree"}
            )

    def close(self) -> None:
        os.close(self._lock)


def _key(name: str) -> AttemptKey:
    task, _, attempt = name.partition(".")
    return (int(task), int(attempt)) if task.isdigit() and attempt.isdigit() else (0, 0)


def _all() -> list[Process]:
    found = (look(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [process for process in found if process is not None and not process.zombie]


def _ancestry() -> set[int]:
    """This process and those above it: an agent may itself run inside a task."""
    found: set[int] = set()
    process = look(os.getpid())
    while process is not None:
        found.add(process.pid)
        process = look(process.parent) if process.parent > 0 else None
    return found


def _left(process: Process, sessions: dict[int, int], mark: bytes) -> bool:
    """In a session on record (its leader the same process if it lives, no member older), or bearing the mark."""
    began = sessions.get(process.session)
    if began is not None and process.start >= began:
        leader = look(process.session)
        if leader is None or leader.start == began:
            return True
    return is_tagged(process.pid, mark)


def remove_tree(path: Path) -> bool:
    """Remove a directory whatever a task did to its permissions. False: not all of it could be removed."""
    with contextlib.suppress(OSError):
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
        else:
            shutil.rmtree(path, onerror=_retry_with_rights)
    return not os.path.lexists(path)


def _retry_with_rights(_function: object, path: str, _error: object) -> None:
    try:
        parent = os.path.dirname(path)
        os.chmod(parent, 0o700)
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, 0o700)
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)
    except OSError:
        return
