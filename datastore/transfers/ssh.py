"""Transfers to and from other hosts: rsync over SSH, one at a time for each worker and direction.

Staging sends every distinct version once, into the worker's cache under its digest. Fetching brings the results of many
attempts into a receive folder of this worker's own, from where those that are what was said go to their attempts'
folders. Partial data and verified files are kept for the next try of an attempt, until `discard` or its end.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from datastore.agent.events import FetchFailed, InputsStaged, ResultsFetched
from datastore.disk.content import CopyStopped, Stopped, is_full
from datastore.disk.tree import Tree
from datastore.disk.versions import VersionMissing, Versions
from datastore.paths import OWN_FOLDER, shown
from datastore.transfers import hosts, rsync, send_folder, verdicts
from datastore.transfers.children import end_leftovers, environment, mark_of
from datastore.transfers.connections import Connections
from datastore.transfers.receiving import Intake, Place, source_of
from datastore.transfers.send_folder import SendFolder
from datastore.transfers.verdicts import Trouble
from wire import messages
from wire.messages import AttemptKey, Collect, CollectFile, Input, Stage, StageDone, StageFailed

logger = logging.getLogger(__name__)

#: Names of one rsync: very long lists make it crawl.
MAX_NAMES = 20_000
_SKIPPING = "skipping non-regular file "

Tell = Callable[[InputsStaged | ResultsFetched | FetchFailed], None]
Unwanted = Callable[[AttemptKey], bool]


class SshTransfers:
    def __init__(self, tree: Tree, versions: Versions, key: Path | None, stopped: Stopped) -> None:
        """Ends what a former start left, before anything else. `key`: the private key for all workers."""
        self._tree = tree
        self._versions = versions
        self._stopped = stopped
        mark = mark_of(tree.fd)
        end_leftovers(mark)
        send_folder.sweep(tree)
        self._environment = environment(mark)
        self._connections = Connections(key, mark, tree.root / OWN_FOLDER / "ssh-folder")
        #: In a folder of results only rsync of this incarnation makes one of this name.
        self._partial = f".ecloud-partial-{tree.incarnation}"
        self._running: dict[rsync.Rsync, set[AttemptKey]] = {}
        self._lock = threading.Lock()
        #: Attempts that are to be fetched again: whose receive folder has partial data, and the files that are there.
        self._held: dict[AttemptKey, tuple[str, dict[int, CollectFile]]] = {}

    def stop(self) -> None:
        """End all that is under way; whoever waits for it raises CopyStopped (`stopped` is true by now)."""
        with self._lock:
            running = list(self._running)
        for each in running:
            each.end()
        self._connections.close()

    # -- out -----------------------------------------------------------------------------------------

    def stage(self, worker: str, place: messages.Place, jobs: list[Stage], tell: Tell) -> None:
        """Answer every job, all of one place. Raises only CopyStopped."""
        with SendFolder(self._tree, self._versions, self._stopped) as folder:
            ready = []
            for job in jobs:
                answer = self._gather(job, folder)
                if isinstance(answer, StageFailed):
                    tell(InputsStaged(answer))
                else:
                    ready.append((job, answer))
            self._send(worker, place, folder, ready, tell)

    def _gather(self, job: Stage, folder: SendFolder) -> list[Input] | StageFailed:
        try:
            return [folder.add(each) for each in job.inputs]
        except VersionMissing as error:
            return _stage_failed(job, "input", f"fetching required files failed: {error}")
        except OSError as error:
            words = self._tree.full_text() if is_full(error) else f"inputs cannot be read on the datastore: {error}"
            return _stage_failed(job, "transfer", words)

    def _send(
        self,
        worker: str,
        place: messages.Place,
        folder: SendFolder,
        ready: list[tuple[Stage, list[Input]]],
        tell: Tell,
    ) -> None:
        try:
            moved = self._send_all(worker, place, folder) if folder.sizes else {}
        except Trouble as trouble:
            words = _with_path(trouble, "inputs cannot be sent to", f"{place.path}/cache")
            for job, _ in ready:
                tell(InputsStaged(_stage_failed(job, trouble.fault, words)))
            return
        for job, inputs in ready:
            # What many jobs share is counted for the first of them.
            count = sum(moved.pop(each.digest[3:], 0) for each in inputs)
            tell(InputsStaged(StageDone(task=job.task, attempt=job.attempt, inputs=inputs, bytes_moved=count)))

    def _send_all(self, worker: str, place: messages.Place, folder: SendFolder) -> dict[str, int]:
        """Digits -> bytes that had to be moved. Raises Trouble, CopyStopped."""
        target = f"{place.path}/cache"
        moved: dict[str, int] = {}
        with self._connections.use(worker, place) as shell:
            arguments = rsync.send_arguments(shell, folder.path, target, f".part-{self._tree.incarnation}")
            for names in _split(list(folder.sizes)):
                seconds = rsync.deadline(len(names), sum(folder.sizes[name] for name in names))
                ended = self._run(arguments, names, seconds, set())
                trouble = self._trouble(ended, worker, place, "stage", target)
                if trouble is not None:
                    raise trouble
                moved.update(_moved(ended.output, folder.sizes))
        return moved

    # -- in ------------------------------------------------------------------------------------------

    def fetch(self, worker: str, place: messages.Place, jobs: list[Collect], tell: Tell, unwanted: Unwanted) -> None:
        """Answer every job, all of one place. Raises only CopyStopped."""
        folder = f"{self._tree.incarnation}/from-{worker}"
        for part in _split_jobs(jobs):
            wanted = []
            for job in part:
                if unwanted(_key(job)):
                    self._answer(job, FetchFailed(_key(job), "stopped"), tell)
                else:
                    wanted.append(job)
            fitting, large = self._by_room(wanted)
            self._fetch_part(worker, place, folder, fitting, tell, unwanted)
            for job in large:
                # It may be no more than a claim: files that are small after all are looked at, large ones left there.
                limit = self._tree.free_bytes() // 2 // max(1, len(job.files))
                self._fetch_part(worker, place, folder, [job], tell, unwanted, limit)
        _remove_if_empty(self._tree, folder)

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
        _, had = self._held.get(_key(job), ("", {}))
        return sum(file.size for number, file in enumerate(job.files) if had.get(number) != file)

    def discard(self, keys: Iterable[AttemptKey]) -> None:
        """Nothing more is wanted of these attempts: remove what was kept for another try."""
        for key in keys:
            folder, _ = self._held.pop(key, ("", {}))
            if folder:
                shutil.rmtree(f"{folder}/{key[0]}.{key[1]}", dir_fd=self._tree.incoming, ignore_errors=True)
                _remove_if_empty(self._tree, folder)
                self._tree.remove_attempt(key)

    def end_unwanted(self, unwanted: Unwanted) -> None:
        """Something is not wanted any more: end the fetches of which nothing is."""
        with self._lock:
            running = list(self._running.items())
        for each, keys in running:
            if keys and all(unwanted(key) for key in keys):
                each.end()

    def _fetch_part(
        self,
        worker: str,
        place: messages.Place,
        folder: str,
        jobs: list[Collect],
        tell: Tell,
        unwanted: Unwanted,
        limit: int | None = None,
    ) -> None:
        """`limit`: files above this size are not brought, for want of room."""
        try:
            received = self._receive(worker, place, folder, jobs, limit)
        except Trouble as trouble:
            words = _with_path(trouble, "results cannot be fetched from", f"{place.path}/attempts")
            received = _Received(None, Trouble(trouble.fault, words))
        except OSError as error:
            fault: verdicts.Fault = "full" if is_full(error) else "transfer"
            words = self._tree.full_text() if is_full(error) else f"results cannot be taken in: {error}"
            received = _Received(None, Trouble(fault, words))
        for each in received.intake.got if received.intake is not None else ():
            self._held[each.key][1][each.number] = each.file
        missing = _missing(received, jobs)
        for job in jobs:
            key = _key(job)
            file = missing.get(key)
            if unwanted(key):
                answer: ResultsFetched | FetchFailed = FetchFailed(key, "stopped")
            elif received.silent and limit is not None and file is not None and file.size > limit:
                answer = FetchFailed(key, "room", self._tree.full_text(self._needed(job)))
            else:
                answer = _verdict(key, received, missing)
            if isinstance(answer, FetchFailed) and answer.fault in ("changed", "result"):
                at = verdicts.doing(hosts.remote_of(worker, place), "collect", f"{place.path}/attempts")
                answer = FetchFailed(key, answer.fault, f"{at}: {answer.reason}")
            self._answer(job, answer, tell)

    def _receive(
        self, worker: str, place: messages.Place, folder: str, jobs: list[Collect], limit: int | None
    ) -> _Received:
        """One rsync, and what it brought. Raises Trouble if none of that is to be believed, CopyStopped, OSError."""
        wanted = [each for job in jobs for each in self._open_attempt(folder, job)]
        intake = Intake(self._tree, self._partial, wanted, self._stopped)
        names = list(dict.fromkeys(source_of(each.key, each.file) for each in wanted))
        if not names:
            return _Received(intake)
        _make_folder(self._tree, folder)
        source = f"{place.path}/attempts"
        largest = max(each.file.size for each in wanted)
        if limit is not None:
            largest = min(largest, limit)
        target = f"{self._tree.root}/{OWN_FOLDER}/incoming/{folder}"
        with self._connections.use(worker, place) as shell:
            arguments = rsync.fetch_arguments(shell, source, target, self._partial, largest, rsync.compares_names())
            seconds = rsync.deadline(len(names), sum(each.file.size for each in wanted))
            ended = self._run(arguments, names, seconds, {_key(job) for job in jobs}, largest)
        trouble = self._trouble(ended, worker, place, "collect", source)
        if trouble is not None and trouble.fault == "host":
            raise trouble
        intake.take(folder)
        lies = _lies(intake, ended)
        if lies:
            raise Trouble("host", f"{hosts.remote_of(worker, place)} sent {lies}: nothing that it sends is taken")
        return _Received(intake, trouble, silent=ended.code == 0)

    def _open_attempt(self, folder: str, job: Collect) -> Iterator[Place]:
        """What is still to come of it; its folder is there afterwards, empty but for what came in an earlier try."""
        key = _key(job)
        _, had = self._held.get(key, ("", {}))
        if not had:
            self._tree.make_attempt_folder(key)
            self._held[key] = (folder, had)
        for number, file in enumerate(job.files):
            if had.get(number) != file:
                yield Place(key, number, file)

    def _answer(self, job: Collect, answer: ResultsFetched | FetchFailed, tell: Tell) -> None:
        key = _key(job)
        if isinstance(answer, ResultsFetched):
            self._held.pop(key, None)
        elif answer.fault not in ("transfer", "changed"):
            self.discard([key])
        tell(answer)

    # -- one rsync -----------------------------------------------------------------------------------

    def _run(
        self, arguments: list[str], names: list[str], seconds: float, keys: set[AttemptKey], largest: int | None = None
    ) -> rsync.Ended:
        run = rsync.Rsync()
        with self._lock:
            self._running[run] = keys
        try:
            if self._stopped():
                raise CopyStopped
            ended = run.run(arguments, names, self._environment, seconds, largest)
        except OSError as error:
            raise Trouble("transfer", f"a transfer cannot be started: {error}") from None
        finally:
            with self._lock:
                del self._running[run]
        if self._stopped():
            raise CopyStopped
        return ended

    def _trouble(
        self, ended: rsync.Ended, worker: str, place: messages.Place, direction: verdicts.Direction, path: str
    ) -> Trouble | None:
        """None: files are to be looked at."""
        remote = hosts.remote_of(worker, place)
        if ended.too_slow:
            return Trouble("transfer", f"{remote} is too slow: a transfer was given up")
        trouble = verdicts.of_rsync(ended.code, ended.words, remote, direction, path, self._tree.full_text())
        if trouble is not None and verdicts.is_bug(ended.code):
            logger.error("rsync ended with code %d: %s", ended.code, ended.words[:2000], extra={"action": "bug"})
        return trouble


# -- parts -------------------------------------------------------------------------------------------


class _Received(NamedTuple):
    """What one rsync brought."""

    #: None: nothing can be believed, or taken in.
    intake: Intake | None
    #: Of those whose files are not all there.
    trouble: Trouble | None = None
    #: True: rsync said that all was well, so what is missing was left out for what it is: too large, say.
    silent: bool = False


def _key(job: Collect) -> AttemptKey:
    return (job.task, job.attempt)


def _with_path(trouble: Trouble, doing: str, path: str) -> str:
    """Its sentence, which names the path besides."""
    said = str(trouble)
    return said if path in said else f"{doing} {shown(path)}: {said}"


def _stage_failed(job: Stage, fault: str, reason: str) -> StageFailed:
    told = "transfer" if fault == "full" else fault
    return StageFailed(task=job.task, attempt=job.attempt, fault=told, reason=reason)  # type: ignore[arg-type]


def _split(names: list[str]) -> Iterator[list[str]]:
    for first in range(0, len(names), MAX_NAMES):
        yield names[first : first + MAX_NAMES]


def _split_jobs(jobs: list[Collect]) -> Iterator[list[Collect]]:
    """Parts of at most so many names, a job never divided."""
    part: list[Collect] = []
    count = 0
    for job in jobs:
        if part and count + len(job.files) > MAX_NAMES:
            yield part
            part, count = [], 0
        part.append(job)
        count += len(job.files)
    if part:
        yield part


def _moved(output: str, sizes: dict[str, int]) -> dict[str, int]:
    """From rsync's lines: name, bytes written for it."""
    moved = {}
    for line in output.splitlines():
        name, _, count = line.partition(" ")
        if name in sizes and count.isdigit():
            moved[name] = int(count)
    return moved


def _lies(intake: Intake, ended: rsync.Ended) -> str:
    """What no honest host sends; empty: nothing. An rsync that was ended may leave files that nobody asked for."""
    if intake.strange and ended.code in (0, *verdicts.PARTIAL):
        return f"{shown(intake.strange[0])}, which nobody asked for"
    line = next((line for line in ended.output.splitlines() if line.startswith(_SKIPPING)), "")
    return f"{shown(line[len(_SKIPPING) :].strip(chr(34)))}, which is a link, a device or a pipe" if line else ""


def _missing(received: _Received, jobs: list[Collect]) -> dict[AttemptKey, CollectFile | None]:
    """Attempt -> a file of it that has not come (None: nothing of it is known)."""
    if received.intake is None:
        return {_key(job): None for job in jobs}
    return {place.key: place.file for _, places in received.intake.missing() for place in places}


def _verdict(
    key: AttemptKey, received: _Received, missing: dict[AttemptKey, CollectFile | None]
) -> ResultsFetched | FetchFailed:
    if received.intake is not None and key in received.intake.differ:
        return FetchFailed(key, "changed", received.intake.differ[key])
    if key not in missing:
        return ResultsFetched(key)
    if received.trouble is not None:
        return FetchFailed(key, received.trouble.fault, str(received.trouble))
    file = missing[key]
    assert file is not None
    if received.silent:
        return FetchFailed(key, "changed", f"result {shown(file.source)} is no file of {file.size:,} bytes any more")
    return FetchFailed(key, "result", f"result {shown(file.source)} is not there on the worker, or cannot be read")


def _make_folder(tree: Tree, folder: str) -> None:
    tree.make_incarnation_folder()
    try:
        os.mkdir(folder, 0o700, dir_fd=tree.incoming)
    except FileExistsError:
        pass


def _remove_if_empty(tree: Tree, folder: str) -> None:
    try:
        os.rmdir(folder, dir_fd=tree.incoming)
    except OSError:
        pass
