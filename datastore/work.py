"""The file work beside the agent's thread: which thread carries out which effect, and what it reports afterwards.

Every effect that has an event gets it, whatever goes wrong, except when the program is ending; an unforeseen
error is logged with its traceback and reported as the failure of that effect.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from datastore.agent.effects import (
    Discard,
    DropRecords,
    Effect,
    FetchResults,
    KeepEpoch,
    LookUpNames,
    PlaceFiles,
    SendFile,
    StageFiles,
    StopFetching,
    StoreFiles,
    Sweep,
    SyncIncoming,
    WriteRecords,
)
from datastore.agent.events import (
    Discarded,
    EpochKept,
    Event,
    FileSent,
    NamesFound,
    StepFailed,
    StoresEnded,
    Swept,
    TransferEnded,
)
from datastore.disk.content import CopyStoppedError
from datastore.disk.index import Index
from datastore.disk.names import Names
from datastore.disk.tree import Tree
from datastore.disk.versions import Versions
from datastore.exchange import Exchange
from datastore.expanding import expand
from datastore.http import Boss
from datastore.publish import Publisher, StepFailedError
from datastore.store import Storage
from datastore.threads import lose_thread
from datastore.transfers.local import LocalTransfers
from datastore.transfers.ssh import SshTransfers
from wire.messages import AttemptKey, Collect, Found, Place, SendFailed, Stage, StoreFailed

logger = logging.getLogger(__name__)

#: Contents that are sent to the boss at once, because users asked for them.
SENDINGS_AT_ONCE = 4
#: Between two tries to write an epoch: nothing is done for the new boss before.
_EPOCH_SECONDS = 2.0

Job = TypeVar("Job", Stage, Collect)


class Performer:
    """`begin` an effect; its event comes through `notify`."""

    def __init__(
        self,
        notify: Callable[[Event], None],
        tree: Tree,
        index: Index,
        deployment: str,
        transfers_at_once: int,
        ssh_key: Path | None = None,
        boss: tuple[str, Path] | None = None,
    ) -> None:
        """`notify` is called from threads of this class, and may not block. `boss`: URL of one on another host, and the
        file with the token for it. Raises ValueError, BossError.
        """
        self._notify = notify
        self._deployment = deployment
        self._tree = tree
        self._index = index
        self._stopping = threading.Event()
        #: Attempts in flight that are no longer needed. Sets of the built-in kind are safe for single calls.
        self._unwanted: set[AttemptKey] = set()
        names, versions = Names(tree, index), Versions(tree, index)
        self._publisher = Publisher(tree, index, names)
        self._boss = None if boss is None else Boss(*boss, self._stopping.is_set)
        self._exchange = Exchange(tree, versions, self._stopping.is_set, self._boss)
        self._storage = Storage(tree, index, names, versions, self._stopping.is_set, self._exchange)
        self._local = LocalTransfers(tree, versions, self._stopping.is_set)
        self._ssh = SshTransfers(tree, versions, ssh_key, self._stopping.is_set)
        self._publish_thread = ThreadPoolExecutor(1, "publish")
        self._store_thread = ThreadPoolExecutor(1, "store")
        self._look_up_thread = ThreadPoolExecutor(1, "look-up")
        self._send_threads = ThreadPoolExecutor(SENDINGS_AT_ONCE, "send")
        self._transfer_threads = ThreadPoolExecutor(transfers_at_once, "transfer")
        publish, store, transfer = self._publish_thread, self._store_thread, self._transfer_threads
        self._doers: dict[type, tuple[ThreadPoolExecutor, Callable[[Any], None]]] = {
            StageFiles: (transfer, self._stage),
            FetchResults: (transfer, self._fetch),
            SyncIncoming: (publish, self._step),
            WriteRecords: (publish, self._step),
            PlaceFiles: (publish, self._step),
            DropRecords: (publish, self._drop),
            Discard: (publish, self._discard),
            KeepEpoch: (publish, self._keep_epoch),
            Sweep: (publish, self._sweep),
            StoreFiles: (store, self._store),
            LookUpNames: (self._look_up_thread, self._look_up),
            SendFile: (self._send_threads, self._send),
        }

    def begin(self, effect: Effect) -> None:
        if isinstance(effect, StopFetching):
            self._unwanted.add(effect.key)
            self._ssh.runs.end_unwanted(self._unwanted.__contains__)
            return
        thread, do = self._doers[type(effect)]
        thread.submit(self._do, do, effect)

    def _do(self, do: Callable[[Any], None], effect: Effect) -> None:
        """What a doer itself has no answer for leaves its effect without its event: the program cannot go on."""
        try:
            do(effect)
        except BaseException as error:
            lose_thread(error)

    def stop(self) -> None:
        """End what is under way at the next chance, and wait for it. No event comes afterwards."""
        self._stopping.set()
        self._ssh.runs.stop()
        if self._boss is not None:
            self._boss.stop()
        beside = (self._look_up_thread, self._send_threads)
        for threads in (self._transfer_threads, self._store_thread, self._publish_thread, *beside):
            threads.shutdown(wait=True, cancel_futures=True)
        if self._boss is not None:
            self._boss.close()

    # -- transfers -----------------------------------------------------------------------------------

    def _stage(self, effect: StageFiles) -> None:
        def stage() -> None:
            expanded, tell = expand(self._tree, effect.jobs, self._notify)
            for place, jobs in _by_place(expanded):
                if place.kind == "ssh":
                    self._ssh.sending.stage(effect.worker, place, jobs, tell)
                else:
                    self._local.stage(jobs, tell)

        self._transfer(effect.transfer, stage)

    def _fetch(self, effect: FetchResults) -> None:
        def fetch() -> None:
            for place, jobs in _by_place(effect.jobs):
                if place.kind == "ssh":
                    self._ssh.fetching.fetch(effect.worker, place, jobs, self._notify, self._unwanted.__contains__)
                else:
                    self._local.fetch(jobs, self._notify, self._unwanted.__contains__)

        self._transfer(effect.transfer, fetch)
        self._unwanted.difference_update((job.task, job.attempt) for job in effect.jobs)

    def _transfer(self, number: int, do: Callable[[], None]) -> None:
        error = ""
        try:
            do()
        except CopyStoppedError:
            return
        except Exception as unforeseen:
            error = _unforeseen("a transfer", unforeseen)
        self._notify(TransferEnded(number, error))

    # -- publishing ----------------------------------------------------------------------------------

    def _step(self, effect: SyncIncoming | WriteRecords | PlaceFiles) -> None:
        event: Event
        try:
            match effect:
                case SyncIncoming():
                    event = self._publisher.sync_incoming(effect.records)
                case WriteRecords():
                    event = self._publisher.write_records(effect.records)
                case PlaceFiles():
                    event = self._publisher.place_files(effect.records)
        except StepFailedError as undone:
            event = StepFailed(str(undone), undone.full)
        except Exception as error:
            event = StepFailed(_unforeseen("publishing", error))
        self._notify(event)

    def _drop(self, effect: DropRecords) -> None:
        self._publisher.drop_records(effect.deployment, effect.keys)

    def _discard(self, effect: Discard) -> None:
        try:
            self._ssh.fetching.discard(effect.keys)
        except OSError as error:
            logger.warning("what was fetched by SSH stays until the next start: %s", error,
                           extra={"action": "leave_incoming"})  # fmt: skip
        self._publisher.discard(effect.keys)
        self._notify(Discarded(effect.keys))

    def _sweep(self, _effect: Sweep) -> None:
        self._publisher.sweep()
        self._notify(Swept())

    def _keep_epoch(self, effect: KeepEpoch) -> None:
        while not self._stopping.is_set():
            try:
                self._index.keep_epoch(self._deployment, effect.epoch)
            except OSError as error:
                logger.error("the boss's orders have to wait until its epoch can be written: %s", error,
                             extra={"action": "wait"})  # fmt: skip
                self._stopping.wait(_EPOCH_SECONDS)
            else:
                self._notify(EpochKept(effect.epoch))
                return

    # -- sent files and look-ups ---------------------------------------------------------------------

    def _store(self, effect: StoreFiles) -> None:
        try:
            answers, full = self._storage.store(effect.orders)
        except CopyStoppedError:
            return
        except Exception as error:
            reason = _unforeseen("storing sent files", error)
            answers = [StoreFailed(name=each.name, digest=each.digest, reason=reason) for each in effect.orders]
            full = ""
        self._notify(StoresEnded(answers, full))

    def _send(self, effect: SendFile) -> None:
        try:
            answer = self._exchange.send(effect.order)
        except CopyStoppedError:
            return
        except Exception as error:
            answer = SendFailed(digest=effect.order.digest, reason=_unforeseen("sending a file to the boss", error))
        self._notify(FileSent(answer))

    def _look_up(self, effect: LookUpNames) -> None:
        try:
            found = self._storage.look_up(effect.order)
        except CopyStoppedError:
            return
        except Exception as error:
            _unforeseen("a look-up", error)
            found = Found(task=effect.order.task, files=[])
        self._notify(NamesFound(found))


def _by_place(jobs: list[Job]) -> list[tuple[Place, list[Job]]]:
    """All of one place together: a worker's, which may have moved between two orders."""
    found: list[tuple[Place, list[Job]]] = []
    for job in jobs:
        same = next((group for place, group in found if place == job.place), None)
        if same is None:
            found.append((job.place, [job]))
        else:
            same.append(job)
    return found


def _unforeseen(what: str, error: Exception) -> str:
    logger.error("%s failed unexpectedly", what, exc_info=error, extra={"action": "bug"})
    return f"{what} failed: {error!r}"
