"""Inputs into the cache of a worker on another host: each version once, for all attempts that wait together.

They are sent from a folder of ours, where each version is under the digits of its digest. It holds hard links where the
file system lets us make them, else copies; it is in the tree's own file system and goes when the transfer is over.
Which bytes a version has is the index's word; the worker reads every input against its digest before a task sees it.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from typing import Literal

from datastore.agent.events import InputsStaged, not_staged
from datastore.disk.beneath import make_folder
from datastore.disk.content import SizeDiffersError, Stopped, copy, hex_of, is_full
from datastore.disk.tree import Tree
from datastore.disk.versions import Version, VersionMissingError, Versions
from datastore.paths import OWN_FOLDER, shown
from datastore.transfers import rsync
from datastore.transfers.runs import MAX_SENT, Errand, Runs
from datastore.transfers.verdicts import TransferFailedError
from wire.messages import Input, Place, Stage, StageDone, StageFailed

#: Below the tree.
OUTGOING = f"{OWN_FOLDER}/outgoing"

TellStaged = Callable[[InputsStaged], None]


class Sending:
    def __init__(self, tree: Tree, versions: Versions, runs: Runs, stopped: Stopped) -> None:
        self._tree = tree
        self._versions = versions
        self._runs = runs
        self._stopped = stopped
        #: In the worker's cache; what another start left there is the worker's to sweep.
        self._partial = f".part-{tree.incarnation}"

    def stage(self, worker: str, place: Place, jobs: list[Stage], tell: TellStaged) -> None:
        """Answer every job, all of one place. Raises only CopyStoppedError."""
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
            return [each if each.folder else folder.add(each) for each in job.inputs]
        except VersionMissingError as error:
            return not_staged(job, "input", f"fetching required files failed: {error}")
        except OSError as error:
            words = self._tree.full_text() if is_full(error) else f"inputs cannot be read on the datastore: {error}"
            return not_staged(job, "transfer", words)

    def _send(
        self, worker: str, place: Place, folder: SendFolder, ready: list[tuple[Stage, list[Input]]], tell: TellStaged
    ) -> None:
        try:
            moved = self._send_all(worker, place, folder) if folder.sizes else {}
        except TransferFailedError as failure:
            fault: Literal["transfer", "host"] = "host" if failure.fault == "host" else "transfer"
            for job, _ in ready:
                tell(InputsStaged(not_staged(job, fault, str(failure))))
            return
        for job, inputs in ready:
            # What many jobs share is counted for the first of them.
            count = sum(moved.pop(each.digest[3:], 0) for each in inputs)
            tell(InputsStaged(StageDone(task=job.task, attempt=job.attempt, inputs=inputs, bytes_moved=count)))

    def _send_all(self, worker: str, place: Place, folder: SendFolder) -> dict[str, int]:
        """Digits -> bytes that had to be moved. Raises TransferFailedError, CopyStoppedError."""
        target = f"{place.path}/cache"
        moved: dict[str, int] = {}
        for first in range(0, len(folder.sizes), MAX_SENT):
            names = list(folder.sizes)[first : first + MAX_SENT]
            sizes = {name: folder.sizes[name] for name in names}
            errand = Errand(worker, place, "stage", target, names, sum(sizes.values()), sizes=sizes)
            ended = self._runs.run(
                errand, lambda shell: rsync.send_arguments(shell, folder.path, target, self._partial)
            )  # fmt: skip
            failure = self._runs.failure(ended, errand)
            if failure is not None:
                raise failure
            moved.update(_moved(ended.output, folder.sizes))
        return moved


def _moved(output: str, sizes: dict[str, int]) -> dict[str, int]:
    """From rsync's lines: name, bytes written for it."""
    moved = {}
    for line in output.splitlines():
        name, _, count = line.partition(" ")
        if name in sizes and count.isdigit():
            moved[name] = int(count)
    return moved


# -- the folder ----------------------------------------------------------------------------------------


def sweep(tree: Tree) -> None:
    """Remove what a former start left. Only after its children have ended."""
    shutil.rmtree(OUTGOING, dir_fd=tree.fd, ignore_errors=True)


class SendFolder:
    """Take with `with`; `sizes` is what it holds: digits -> bytes."""

    _numbers = itertools.count(1)

    def __init__(self, tree: Tree, versions: Versions, stopped: Stopped) -> None:
        self._tree = tree
        self._versions = versions
        self._stopped = stopped
        name = f"{tree.incarnation}-{next(self._numbers)}"
        self._name = f"{OUTGOING}/{name}"
        self.path = f"{tree.root}/{self._name}"
        self.sizes: dict[str, int] = {}
        self._fd = -1

    def __enter__(self) -> SendFolder:
        for folder in (OUTGOING, self._name):
            make_folder(folder, self._tree.fd, 0o700)
        self._fd = os.open(self._name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._tree.fd)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
        shutil.rmtree(self._name, dir_fd=self._tree.fd, ignore_errors=True)

    def add(self, wanted: Input) -> Input:
        """Bring the version in; returns what it is. Raises VersionMissingError, CopyStoppedError, OSError."""
        known = self._known(wanted)
        if known is not None:
            return known
        version = self._versions.open(wanted.name, wanted.digest, self._stopped)
        try:
            name = hex_of(version.digest)
            if name not in self.sizes:
                self._bring(version, name, wanted)
                self.sizes[name] = version.size
        finally:
            os.close(version.fd)
        return _bound(wanted, version.digest, version.size)

    def _known(self, wanted: Input) -> Input | None:
        """A digest that is here already needs no second look: a thousand tasks share one network."""
        if not wanted.digest.startswith("b2:"):
            return None
        size = self.sizes.get(wanted.digest[3:])
        return None if size is None else _bound(wanted, wanted.digest, size)

    def _bring(self, version: Version, name: str, wanted: Input) -> None:
        try:
            os.link(f"/proc/self/fd/{version.fd}", name, dst_dir_fd=self._fd, follow_symlinks=True)
        except OSError:  # too many links, another user's file, another file system: then a copy
            self._copy(version, name, wanted)

    def _copy(self, version: Version, name: str, wanted: Input) -> None:
        target = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._fd)
        try:
            if copy(version.fd, target, version.size, self._stopped) != version.digest:
                raise SizeDiffersError("its content is not that of its digest")
        except SizeDiffersError as error:
            os.unlink(name, dir_fd=self._fd)
            raise VersionMissingError(f"{shown(wanted.name)} was changed on the datastore meanwhile: {error}") from None
        except BaseException:
            os.unlink(name, dir_fd=self._fd)
            raise
        finally:
            os.close(target)


def _bound(wanted: Input, digest: str, size: int) -> Input:
    return Input(name=wanted.name, path=wanted.path, digest=digest, size=size, executable=wanted.executable)
