"""The datastore's transfers over a real sshd: a tree, and one worker's home behind it."""

from __future__ import annotations

from pathlib import Path

from datastore.agent.events import FetchFailed, InputsStaged, ResultsFetched
from datastore.disk.index import Index
from datastore.disk.tree import Tree
from datastore.disk.versions import Versions
from datastore.transfers.ssh import SshTransfers
from tests.worlds.digests import digest
from tests.worlds.ssh_server import SshServer
from wire.messages import AttemptKey, Collect, CollectFile, Input, Stage, StageDone, StageFailed


class World:
    """A tree with its transfers, and one worker's home behind sshd."""

    def __init__(self, server: SshServer, directory: Path) -> None:
        self.server = server
        self.tree = Tree(directory / "tree of results", "i1")
        self.tree.sweep()
        self.index = Index(self.tree.index_path)
        self.home = server.make("home")
        server.make("home/attempts")
        self.cache = server.make("home/cache")
        self.place = server.place(self.home)
        self.stopped = False
        self.unwanted: set[AttemptKey] = set()
        self.answers: list[object] = []
        self.transfers = self.make(server.key)

    def make(self, key: Path | None) -> SshTransfers:
        return SshTransfers(self.tree, Versions(self.tree, self.index), key, lambda: self.stopped)

    def close(self) -> None:
        self.stopped = True
        self.transfers.runs.stop()
        self.index.close()
        self.tree.close()

    # -- out -----------------------------------------------------------------------------------------

    def write(self, name: str, data: bytes) -> Input:
        path = self.tree.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return Input(name=name, path=name, digest=digest(data), size=len(data))

    def stage(self, *jobs: list[Input]) -> list[StageDone | StageFailed]:
        answers: list[StageDone | StageFailed] = []

        def tell(event: object) -> None:
            assert isinstance(event, InputsStaged)
            answers.append(event.answer)

        orders = [
            Stage(task=number, attempt=1, worker="w1", place=self.place, inputs=inputs)
            for number, inputs in enumerate(jobs, 1)
        ]
        self.transfers.sending.stage("w1", self.place, orders, tell)
        return sorted(answers, key=lambda answer: answer.task)

    # -- in ------------------------------------------------------------------------------------------

    def attempt(self, task: int, files: dict[str, bytes]) -> Collect:
        """What a worker has made, and the order to collect it."""
        work = self.home / "attempts" / f"{task}.1" / "work"
        work.mkdir(parents=True, exist_ok=True)
        entries = []
        for name, data in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_bytes(data)
            entries.append(CollectFile(source=name, target=f"out/{task}/{name}", size=len(data), digest=digest(data)))
        self.server.give(self.home / "attempts")
        return Collect(task=task, attempt=1, worker="w1", place=self.place, files=entries)

    def work(self, task: int) -> Path:
        return self.home / "attempts" / f"{task}.1" / "work"

    def fetch(self, *jobs: Collect) -> dict[int, ResultsFetched | FetchFailed]:
        answers: dict[int, ResultsFetched | FetchFailed] = {}

        def tell(event: object) -> None:
            assert isinstance(event, ResultsFetched | FetchFailed)
            assert event.key[0] not in answers, "answered twice"
            answers[event.key[0]] = event

        self.transfers.fetching.fetch("w1", self.place, list(jobs), tell, self.unwanted.__contains__)
        return answers

    def failure(self, job: Collect) -> FetchFailed:
        answer = self.fetch(job)[job.task]
        assert isinstance(answer, FetchFailed), answer
        return answer

    def incoming(self, task: int) -> dict[str, bytes]:
        folder = self.tree.root / ".ecloud" / "incoming" / "i1" / f"{task}.1"
        return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}

    def left(self) -> list[str]:
        """Everything in incoming."""
        return sorted(path.name for path in (self.tree.root / ".ecloud" / "incoming" / "i1").rglob("*"))
