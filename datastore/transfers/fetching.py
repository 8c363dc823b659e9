"""Results of attempts on another host, of many at once, into incoming: what was said and nothing else.

They come into a receive folder of this worker's own, from where those that are what was said go to their attempts'
folders. Partial data and verified files are kept for the next try of an attempt, until `discard` or its end.
"""

from __future__ import annotations

import itertools
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from datastore.agent.events import FetchFailed, ResultsFetched
from datastore.disk.beneath import make_folder
from datastore.disk.content import Stopped, is_full
from datastore.disk.janitor import AT_ONCE
from datastore.disk.tree import INCOMING, Tree
from datastore.paths import shown
from datastore.transfers import rsync, verdicts
from datastore.transfers.hosts import remote_of
from datastore.transfers.receiving import Intake, Wanted, source_of
from datastore.transfers.runs import MAX_FETCHED, Errand, Runs
from datastore.transfers.verdicts import TransferFailedError
from wire.messages import AttemptKey, Collect, CollectFile, Place

_SKIPPING = "skipping non-regular file "

TellFetched = Callable[[ResultsFetched | FetchFailed], None]
Unwanted = Callable[[AttemptKey], bool]


class Fetching:
    def __init__(self, tree: Tree, runs: Runs, stopped: Stopped) -> None:
        self._tree = tree
        self._runs = runs
        self._stopped = stopped
        #: In a folder of results only rsync of this incarnation makes one of this name.
        self._partial = f".ecloud-partial-{tree.incarnation}"
        self._held = HeldResults()
        self._numbers = itertools.count(1)

    def fetch(self, worker: str, place: Place, jobs: list[Collect], tell: TellFetched, unwanted: Unwanted) -> None:
        """Answer every job, all of one place. Raises only CopyStoppedError."""
        lane = _Lane(worker, place, f"{self._tree.incarnation}/from-{worker}", tell, unwanted)
        for part in _split_jobs(jobs):
            wanted = []
            for job in part:
                if unwanted(_key(job)):
                    self._answer(job, FetchFailed(_key(job), "stopped"), lane)
                else:
                    wanted.append(job)
            fitting, large = self._by_room(wanted)
            self._fetch_part(lane, fitting)
            for job in large:
                # It may be no more than a claim: files that are small after all are looked at, large ones left there.
                self._fetch_part(lane, [job], self._tree.free_bytes() // 2 // max(1, len(job.files)))

    def discard(self, keys: Iterable[AttemptKey]) -> None:
        """Nothing more is wanted of these attempts: remove what was kept for another try."""
        for key in keys:
            folder = self._held.end(key)
            if folder:
                shutil.rmtree(_folder_in(folder, key), dir_fd=self._tree.incoming, ignore_errors=True)
                self._tree.remove_attempt(key)
                try:
                    if not self._held.in_folder(folder):
                        os.rmdir(folder, dir_fd=self._tree.incoming)
                except OSError:  # something is still in it
                    pass

    # -- inside --------------------------------------------------------------------------------------

    def _by_room(self, jobs: list[Collect]) -> tuple[list[Collect], list[Collect]]:
        """Those that the disk has room for, in their order, and those that would leave none for others."""
        free = self._tree.free_bytes()
        fitting, large = [], []
        for job in jobs:
            needed = self._needed(job)
            if needed > free:
                large.append(job)
            else:
                free -= needed
                fitting.append(job)
        return fitting, large

    def _needed(self, job: Collect) -> int:
        """Bytes that are still to come."""
        had = self._held.came(_key(job))
        return sum(file.size for number, file in enumerate(job.files) if had.get(number) != file)

    def _fetch_part(self, lane: _Lane, jobs: list[Collect], limit: int | None = None) -> None:
        """`limit`: files above this size are not brought, for want of room."""
        try:
            received = self._receive(lane, jobs, limit)
        except TransferFailedError as failure:
            received = _Received(None, failure)
        except OSError as error:
            fault: verdicts.Fault = "full" if is_full(error) else "transfer"
            words = self._tree.full_text() if is_full(error) else f"results cannot be taken in: {error}"
            received = _Received(None, TransferFailedError(fault, words))
        for each in received.intake.got if received.intake is not None else ():
            self._held.add(each.key, each.number, each.file)
        missing = _missing(received, jobs)
        for job in jobs:
            self._answer(job, self._verdict(lane, job, received, missing, limit), lane)
        self._clear(lane.folder, jobs)

    def _receive(self, lane: _Lane, jobs: list[Collect], limit: int | None) -> _Received:
        """One rsync, and what it brought.

        Raises TransferFailedError if none of that is to be believed, CopyStoppedError, OSError.
        """
        wanted = [each for job in jobs for each in self._open_attempt(lane.folder, job)]
        others = self._held.in_folder(lane.folder, besides=[_key(job) for job in jobs])
        leave = {self._partial, *(f"{task}.{attempt}" for task, attempt in others)}
        intake = Intake(self._tree, leave, wanted, self._stopped)
        names = list(dict.fromkeys(source_of(each.key, each.file) for each in wanted))
        if not names:
            return _Received(intake)
        remote_of(lane.worker, lane.place)  # what cannot be a worker gets no folder
        self._tree.make_incarnation_folder()
        make_folder(lane.folder, self._tree.incoming, 0o700)
        ended, failure = self._bring(lane, jobs, wanted, names, limit)
        if failure is not None and failure.fault == "host":
            raise failure
        intake.take(lane.folder)
        lies = _lies(intake, ended)
        if lies:
            raise TransferFailedError("host", f"{_at(lane)}: it sent {lies}, so nothing that it sends is taken")
        return _Received(intake, failure, silent=all(each.code == 0 for each in ended))

    def _bring(
        self, lane: _Lane, jobs: list[Collect], wanted: list[Wanted], names: list[str], limit: int | None
    ) -> tuple[list[rsync.RsyncEnded], TransferFailedError | None]:
        """Into the receive folder, by one rsync if the list is not long; up to the first that fails."""
        largest = max(each.file.size for each in wanted)
        if limit is not None:
            largest = min(largest, limit)
        size = sum(min(each.file.size, largest) for each in wanted)
        keys = frozenset(_key(job) for job in jobs)
        target = f"{self._tree.root}/{INCOMING}/{lane.folder}"
        ended: list[rsync.RsyncEnded] = []
        for first in range(0, len(names), MAX_FETCHED):
            some = names[first : first + MAX_FETCHED]
            errand = Errand(lane.worker, lane.place, "collect", lane.source, some, size, largest, keys)
            ended.append(
                self._runs.run(
                    errand, lambda shell: rsync.fetch_arguments(shell, lane.source, target, self._partial, largest)
                )
            )
            failure = self._runs.failure(ended[-1], errand)
            if failure is not None:
                return ended, failure
        return ended, None

    def _open_attempt(self, folder: str, job: Collect) -> Iterator[Wanted]:
        """What is still to come of it; its folder is there afterwards, empty but for what came in an earlier try."""
        key = _key(job)
        had = self._held.begin(key, folder)
        if not had:
            self._tree.make_attempt_folder(key)
        for number, file in enumerate(job.files):
            if had.get(number) != file:
                yield Wanted(key, number, file)

    def _clear(self, folder: str, jobs: list[Collect]) -> None:
        """Remove the empty folders that rsync made, but for those of attempts that will be fetched again."""
        held = self._held.in_folder(folder)
        if held:
            for job in jobs:
                if _key(job) not in held:
                    shutil.rmtree(_folder_in(folder, _key(job)), dir_fd=self._tree.incoming, ignore_errors=True)
            return
        emptied = f"{self._tree.incarnation}/emptied-{next(self._numbers)}"
        try:
            os.rename(folder, emptied, src_dir_fd=self._tree.incoming, dst_dir_fd=self._tree.incoming)
        except FileNotFoundError:
            return
        self._tree.janitor.remove([emptied], many=len(jobs) > AT_ONCE)

    def _answer(self, job: Collect, answer: ResultsFetched | FetchFailed, lane: _Lane) -> None:
        key = _key(job)
        if isinstance(answer, ResultsFetched):
            self._held.end(key)
        elif answer.fault not in ("transfer", "changed"):
            self.discard([key])
        lane.tell(answer)

    def _verdict(
        self,
        lane: _Lane,
        job: Collect,
        received: _Received,
        missing: dict[AttemptKey, CollectFile | None],
        limit: int | None,
    ) -> ResultsFetched | FetchFailed:
        key = _key(job)
        if lane.unwanted(key):
            return FetchFailed(key, "stopped")
        if received.intake is not None and key in received.intake.differ:
            return FetchFailed(key, "changed", f"{_at(lane)}: {received.intake.differ[key]}")
        if key not in missing:
            return ResultsFetched(key)
        if received.failure is not None:
            return FetchFailed(key, received.failure.fault, str(received.failure))
        file = missing[key]
        assert file is not None
        if not received.silent:
            words = f"result {shown(file.source)} is not there on the worker, or cannot be read"
            return FetchFailed(key, "result", f"{_at(lane)}: {words}")
        if limit is not None and file.size > limit:
            return FetchFailed(key, "no_space", self._tree.full_text(self._needed(job)))
        words = f"result {shown(file.source)} is no file of {file.size:,} bytes any more"
        return FetchFailed(key, "changed", f"{_at(lane)}: {words}")


# -- parts -------------------------------------------------------------------------------------------


class _Lane(NamedTuple):
    """Whose results, and who hears of them."""

    worker: str
    place: Place
    #: The receive folder, below incoming.
    folder: str
    tell: TellFetched
    unwanted: Unwanted

    @property
    def source(self) -> str:
        return f"{self.place.path}/attempts"


class HeldResults:
    """Attempts whose results are to be fetched again: what of them has come, and where the rest may be. Knows no disk.

    Safe from any thread: the transfers of a worker come one after another, but an attempt may be given up at any time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folder: dict[AttemptKey, str] = {}
        self._came: dict[AttemptKey, dict[int, CollectFile]] = {}
        self._in: dict[str, set[AttemptKey]] = {}

    def begin(self, key: AttemptKey, folder: str) -> dict[int, CollectFile]:
        """From now on it is held, with this receive folder; what has come in earlier tries, by number."""
        with self._lock:
            if key not in self._folder:
                self._folder[key] = folder
                self._came[key] = {}
                self._in.setdefault(folder, set()).add(key)
            return dict(self._came[key])

    def came(self, key: AttemptKey) -> dict[int, CollectFile]:
        with self._lock:
            return dict(self._came.get(key, {}))

    def add(self, key: AttemptKey, number: int, file: CollectFile) -> None:
        with self._lock:
            if key in self._came:
                self._came[key][number] = file

    def end(self, key: AttemptKey) -> str:
        """It is not held any more; its receive folder, or empty: it was not."""
        with self._lock:
            folder = self._folder.pop(key, "")
            if folder:
                del self._came[key]
                self._in[folder].discard(key)
                if not self._in[folder]:
                    del self._in[folder]
            return folder

    def in_folder(self, folder: str, besides: Iterable[AttemptKey] = ()) -> set[AttemptKey]:
        """Those of this receive folder, but for some."""
        with self._lock:
            return self._in.get(folder, set()) - set(besides)


class _Received(NamedTuple):
    """What one rsync brought."""

    #: None: nothing can be believed, or taken in.
    intake: Intake | None
    #: Of those whose files are not all there.
    failure: TransferFailedError | None = None
    #: True: rsync said that all was well, so what is missing was left out for what it is: too large, say.
    silent: bool = False


def _key(job: Collect) -> AttemptKey:
    return (job.task, job.attempt)


def _folder_in(folder: str, key: AttemptKey) -> str:
    return f"{folder}/{key[0]}.{key[1]}"


def _at(lane: _Lane) -> str:
    return verdicts.doing(remote_of(lane.worker, lane.place), "collect", lane.source)


def _split_jobs(jobs: list[Collect]) -> Iterator[list[Collect]]:
    """Parts of at most so many names, a job never divided."""
    part: list[Collect] = []
    count = 0
    for job in jobs:
        if part and count + len(job.files) > MAX_FETCHED:
            yield part
            part, count = [], 0
        part.append(job)
        count += len(job.files)
    if part:
        yield part


def _lies(intake: Intake, ended: list[rsync.RsyncEnded]) -> str:
    """What no honest host sends; empty: nothing. An rsync that was ended may leave files that were not asked for."""
    if intake.strange and ended[-1].code in (0, *verdicts.PARTIAL):
        return f"{shown(intake.strange[0])}, which was not asked for"
    lines = (line for each in ended for line in each.output.splitlines())
    line = next((line for line in lines if line.startswith(_SKIPPING)), "")
    return f"{shown(line[len(_SKIPPING) :].strip(chr(34)))}, which is a link, a device or a pipe" if line else ""


def _missing(received: _Received, jobs: list[Collect]) -> dict[AttemptKey, CollectFile | None]:
    """Attempt -> a file of it that has not come (None: nothing of it is known)."""
    if received.intake is None:
        return {_key(job): None for job in jobs}
    return {place.key: place.file for _, places in received.intake.missing() for place in places}
