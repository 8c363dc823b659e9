"""The datastore's disk side and one worker's home beside it, for tests on real files."""

from __future__ import annotations

from pathlib import Path

from datastore.agent.events import InputsStaged, ResultsFetched
from datastore.agent.records import Record, record_of
from datastore.disk import content
from datastore.disk.index import Index
from datastore.disk.names import Names
from datastore.disk.tree import Tree
from datastore.disk.versions import Versions
from datastore.publish import Publisher
from datastore.store import Storage
from datastore.transfers.local import LocalTransfers
from tests.worlds.digests import digest
from wire.messages import Collect, CollectFile, Input, Place, Stage, StageDone, StageFailed


class Disk:
    """One incarnation of the datastore's disk side, and one worker's home beside it."""

    def __init__(self, root: Path, incarnation: str = "one", home: Path | None = None) -> None:
        self.root = root
        self.tree = Tree(root, incarnation)
        self.index = Index(self.tree.index_path)
        self.names = Names(self.tree, self.index)
        self.versions = Versions(self.tree, self.index)
        self.publisher = Publisher(self.tree, self.index, self.names)
        self.storage = Storage(self.tree, self.index, self.names, self.versions, content.never)
        self.local = LocalTransfers(self.tree, self.versions)
        self.home = home or root.parent / "worker"
        self.home.mkdir(exist_ok=True)
        self.place = Place(path=str(self.home))

    def close(self) -> None:
        self.index.close()
        self.tree.close()

    def start(self) -> Disk:
        """What the agent has done at a start."""
        self.publisher.place_files(self.index.records())
        self.publisher.sweep()
        return self

    # -- the worker's side --------------------------------------------------------------------------

    def work(self, task: int, attempt: int = 1) -> Path:
        work = self.home / "attempts" / f"{task}.{attempt}" / "work"
        work.mkdir(parents=True, exist_ok=True)
        return work

    def collect(self, task: int, files: dict[str, bytes], attempt: int = 1, **stated: object) -> Collect:
        """An attempt that left these files, and the order for them; `stated` is what the worker says otherwise."""
        work = self.work(task, attempt)
        entries = []
        for name, data in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_bytes(data)
            fields = {"source": name, "target": name, "size": len(data), "digest": digest(data), **stated}
            entries.append(CollectFile(**fields))  # type: ignore[arg-type]
        return Collect(task=task, attempt=attempt, worker="w", place=self.place, files=entries)

    # -- several steps ---------------------------------------------------------------------------------

    def fetch(self, *orders: Collect) -> list[object]:
        answers: list[object] = []
        self.local.fetch(list(orders), answers.append, lambda _key: False)
        return answers

    def record(self, order: Collect) -> Record:
        return record_of(order, "d", self.tree.incarnation)

    def publish(self, *orders: Collect) -> None:
        assert all(isinstance(answer, ResultsFetched) for answer in self.fetch(*orders))
        records = [self.record(order) for order in orders]
        assert self.publisher.sync_incoming(records).refused == []
        self.publisher.write_records(records)
        self.publisher.place_files(records)

    def stage(self, *inputs: Input, place: Place | None = None) -> StageDone | StageFailed:
        answers: list[InputsStaged] = []
        job = Stage(task=1, attempt=1, worker="w", place=place or self.place, inputs=list(inputs))
        self.local.stage([job], answers.append)
        return answers[0].answer

    def visible(self) -> dict[str, bytes]:
        """The tree as a reader sees it."""
        files = [path for path in self.root.rglob("*") if path.is_file() and ".ecloud" not in path.parts]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files}

    def incoming(self) -> list[Path]:
        return [path for path in (self.root / ".ecloud" / "incoming").rglob("*") if path.is_file()]
