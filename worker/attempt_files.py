"""The directories of attempts and the cache, as the loop wants them changed: in threads of files, never in the loop's.

What comes of it goes into the inbox as events. Decides nothing; does not know the agent.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec

from wire.link import LinkEvent
from wire.messages import AttemptKey, Digest, Input, ManifestEntry, Outcome, Run
from worker.agent.effects import PlaceInputs, RemoveAttempt
from worker.agent.events import CacheChanged, Event, ExecutionEnded, InputsNotPlaced, InputsPlaced, SizesMeasured
from worker.cache import Cache, PlacingError, place_all
from worker.home import remove_tree
from worker.results import ResultsError, list_results

logger = logging.getLogger(__name__)

#: What the loop takes, from any thread and from signal handlers. Made before all that puts something into it.
Inbox = queue.SimpleQueue[Event | LinkEvent]
#: Of one attempt, so many are looked at to see what it has written.
_MEASURED_FILES = 20_000
_Fault = Literal["task", "worker"]
_TASK: _Fault = "task"
_WORKER: _Fault = "worker"
#: Result files of one attempt that go to the cache: some renames, in the loop's thread.
_ADOPTED = 256


class FileThreads:
    """For slow work: placing inputs, listing results, removing directories.

    Work about one task goes to one thread, in the order given, so that a directory is removed only after it was filled.
    """

    def __init__(self, threads: int = 2) -> None:
        self._queues: list[queue.SimpleQueue[Callable[[], None] | None]] = [queue.SimpleQueue() for _ in range(threads)]
        self._threads = [
            threading.Thread(target=_work, args=(each,), name=f"keeper-{number}", daemon=True)
            for number, each in enumerate(self._queues)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def do(self, task: int, work: Callable[[], None]) -> None:
        self._queues[task % len(self._queues)].put(work)

    def stop(self, timeout: float) -> None:
        """Finish what was given, up to `timeout` seconds."""
        for each in self._queues:
            each.put(None)
        for thread in self._threads:
            thread.join(timeout)


def _work(jobs: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    while (job := jobs.get()) is not None:
        try:
            job()
        except Exception:
            logger.exception("work with files failed", extra={"action": "keeper_failed"})


class AttemptFiles:
    """Calls return at once; those from the loop's thread, but `finished`, which the runner's may call."""

    def __init__(self, inbox: Inbox, attempts: Path, cache: Cache, threads: FileThreads) -> None:
        self.attempts = attempts
        self._inbox = inbox
        self._cache = cache
        self._threads = threads
        #: What was placed for attempts that are here.
        self._input_bytes: dict[AttemptKey, int] = {}
        self._measuring = False
        #: Directories of ended attempts that could not be removed.
        self._left: deque[Path] = deque()
        #: Working directory -> paths of the inputs in it. Each is touched by one thread of files at a time.
        self._placed: dict[Path, frozenset[str]] = {}

    def place(self, effect: PlaceInputs) -> None:
        """InputsPlaced or InputsNotPlaced comes of it."""
        self._cache.pin(effect.inputs)
        self._threads.do(effect.task, partial(self._place, effect))

    def finished(self, run: Run, outcome: Outcome, leftovers: bool) -> None:
        """ExecutionEnded comes of it, with what the attempt's results are."""
        if outcome.ended == "succeeded" and run.execution.results:
            self._threads.do(run.task, partial(self._list_results, run, outcome))
        else:
            self._inbox.put(ExecutionEnded(outcome, leftovers))

    def remove(self, effect: RemoveAttempt) -> None:
        """Its directory; results to be kept go to the cache first."""
        self._input_bytes.pop((effect.task, effect.attempt), None)
        directory = self._directory(effect.task, effect.attempt)
        if effect.keep:
            self._adopt(directory / "work", effect.keep)
        self._threads.do(effect.task, partial(self._remove, directory))

    def measure(self, attempts: list[AttemptKey], free: int, low: bool) -> None:
        """SizesMeasured comes of it, unless the last one is not done yet."""
        if not self._measuring:
            self._measuring = True
            self._threads.do(0, partial(self._measure, attempts, free, low))

    def sizes(self, attempts: list[AttemptKey]) -> list[tuple[int, int, int]]:
        """What each has written beyond its inputs. Reads their directories."""
        return [(*key, bytes_below(self._directory(*key)) - self._input_bytes.get(key, 0)) for key in attempts]

    def trim_cache(self) -> None:
        self._threads.do(0, self._trim_cache)

    def _directory(self, task: int, attempt: int) -> Path:
        return self.attempts / f"{task}.{attempt}"

    def _adopt(self, work: Path, results: list[ManifestEntry]) -> None:
        """Results that other tasks need go to the cache, at once: the next order may already be about them."""
        root = os.path.realpath(work)
        adopted = []
        for entry in results[:_ADOPTED]:
            path = work / entry.source
            real = os.path.realpath(path.parent)
            inside = real == root or real.startswith(root + os.sep)  # never what a link leads to
            if inside and self._cache.adopt(path, entry.digest, entry.size):
                adopted.append(entry.digest)
        if adopted:
            self._inbox.put(CacheChanged(adopted))

    # -- in the threads of files --------------------------------------------------------------------

    def _place(self, effect: PlaceInputs) -> None:
        """Whatever goes wrong, it is answered."""
        reason, fault, missing = "", _WORKER, []
        try:
            missing = self._fill_and_trim(effect)
        except PlacingError as error:
            reason, fault = str(error), _TASK
        except OSError as error:
            reason, fault = f"cannot place the inputs: {error}", _placing_fault(error)
        except Exception as error:
            logger.exception("placing inputs of attempt %d.%d failed", effect.task, effect.attempt)
            reason = f"an error in the worker: {error!r}"
        finally:
            self._cache.unpin(effect.inputs)
        if missing or reason:
            self._inbox.put(InputsNotPlaced(effect.task, effect.attempt, missing, reason, fault))
        else:
            self._inbox.put(InputsPlaced(effect.task, effect.attempt))

    def _fill_and_trim(self, effect: PlaceInputs) -> list[Digest]:
        """The digests that are missing."""
        work = self._directory(effect.task, effect.attempt) / "work"
        missing = self._fill(work, effect.inputs)
        used = [item.digest for item in effect.inputs if item.digest and item.digest not in missing]
        try:
            dropped = self._cache.trim(quick=True)
        except OSError as error:  # the inputs are there all the same
            logger.warning("the cache cannot be trimmed: %s", error, extra={"action": "trim_failed"})
            dropped = []
        self._inbox.put(CacheChanged(used, missing + dropped))
        if not missing:
            self._placed[work] = frozenset(item.path for item in effect.inputs)
            self._input_bytes[(effect.task, effect.attempt)] = sum(item.size for item in effect.inputs)
        return missing

    def _fill(self, work: Path, inputs: list[Input]) -> list[Digest]:
        """The digests that are missing. A disk that is full of the cache is emptied of it, once."""
        try:
            return self._fill_again(work, inputs)
        except OSError as error:
            dropped = self._cache.make_room() if error.errno in (errno.ENOSPC, errno.EDQUOT) else []
            if not dropped:
                raise
            self._inbox.put(CacheChanged(dropped=dropped))
            return self._fill_again(work, inputs)

    def _fill_again(self, work: Path, inputs: list[Input]) -> list[Digest]:
        self._cache.release(work)
        remove_tree(work)  # of an earlier try
        work.mkdir(mode=0o755, parents=True)
        return place_all(self._cache, inputs, work)

    def _remove(self, directory: Path) -> None:
        self._placed.pop(directory / "work", None)
        self._cache.release(directory / "work")
        if not remove_tree(directory):
            logger.warning("cannot remove %s: it is tried again", directory, extra={"action": "leave_tree"})
            self._left.append(directory)

    def _measure(self, attempts: list[AttemptKey], free: int, low: bool) -> None:
        try:
            self._inbox.put(SizesMeasured(self.sizes(attempts), free, low))
        finally:
            self._measuring = False

    def _trim_cache(self) -> None:
        for _ in range(len(self._left)):
            directory = self._left.popleft()
            if not remove_tree(directory):
                self._left.append(directory)
        dropped = self._cache.trim()
        if dropped:
            self._inbox.put(CacheChanged(dropped=dropped))

    def _list_results(self, run: Run, outcome: Outcome) -> None:
        work = self._directory(run.task, run.attempt) / "work"
        try:
            inputs = self._placed.get(work, frozenset())
            manifest, folders = list_results(work, run.execution.results, inputs)
            changes: dict[str, Any] = {"manifest": manifest, "folders": folders}
        except ResultsError as error:
            changes = {"ended": "failed", "reason": str(error)}
        except OSError as error:  # no other is the machine's
            changes = {"ended": "failed", "fault": "worker", "reason": f"Uploading results failed: {error}"}
        except Exception as error:
            logger.exception("listing results of attempt %d.%d failed", run.task, run.attempt)
            reason = f"Uploading results failed: an internal error of the worker: {error!r}"
            changes = {"ended": "failed", "fault": "worker", "reason": reason}
        self._inbox.put(ExecutionEnded(msgspec.structs.replace(outcome, **changes), leftovers=True))


def _placing_fault(error: OSError) -> _Fault:
    """A name that no file system takes is the task's; all else about a directory that only we have touched, ours."""
    return _TASK if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ) else _WORKER


def bytes_below(directory: Path) -> int:
    """On the disk, as far as it can be read; of many files those that are found first."""
    total = found = 0
    for folder, folders, files in os.walk(directory):
        for name in (*folders, *files):
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
        found += len(files)
        if found > _MEASURED_FILES:
            break
    return total
