"""Inputs into the cache of a worker on another host: each version once, for all attempts that wait together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from datastore.agent.events import InputsStaged, not_staged
from datastore.disk.content import Stopped, is_full
from datastore.disk.tree import Tree
from datastore.disk.versions import VersionMissingError, Versions
from datastore.transfers import rsync
from datastore.transfers.runs import MAX_SENT, Errand, Runs
from datastore.transfers.send_folder import SendFolder
from datastore.transfers.verdicts import TransferFailedError
from wire.messages import Input, Place, Stage, StageDone, StageFailed

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
        for names in _split(list(folder.sizes)):
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


def _split(names: list[str]) -> Iterator[list[str]]:
    for first in range(0, len(names), MAX_SENT):
        yield names[first : first + MAX_SENT]


def _moved(output: str, sizes: dict[str, int]) -> dict[str, int]:
    """From rsync's lines: name, bytes written for it."""
    moved = {}
    for line in output.splitlines():
        name, _, count = line.partition(" ")
        if name in sizes and count.isdigit():
            moved[name] = int(count)
    return moved
