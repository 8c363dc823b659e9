"""Worker hosts behind a real sshd, the real datastore program, and a boss that a test scripts: for faults of transfers.

What stands for a worker's host is a folder of an unprivileged user; the test writes there what an agent and its
attempts would have left. Take the fixtures like this:

    from tests.acceptance.data_world import DataWorld, data_world, mosquitto, links
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from tests.worlds import brokers, ssh_server
from tests.worlds.brokers import TOPICS, Links
from tests.worlds.datastore_program import World
from tests.worlds.digests import digest
from tests.worlds.hosts.proxy import Proxy
from tests.worlds.waiting import scaled
from wire.messages import (
    Abandoned,
    AttemptKey,
    Collect,
    CollectFile,
    DatastoreHeartbeat,
    DatastoreReport,
    Input,
    Place,
    Published,
    Stage,
    StageDone,
    StageFailed,
)

__all__ = ["DataWorld", "WorkerHost", "data_world", "links", "mosquitto"]

mosquitto, links = brokers.mosquitto, brokers.links

Answer = StageDone | StageFailed | Published | Abandoned


@dataclass
class WorkerHost:
    """One sshd and the home of an agent on it; what the boss pinned when it saw it first is in `place`."""

    name: str
    server: ssh_server.SshServer
    home: Path
    place: Place
    proxy: Proxy | None = None

    @property
    def where(self) -> str:
        """As sentences name the host."""
        return self.place.host

    def work(self, key: AttemptKey) -> Path:
        return self.server.make(f"home/attempts/{key[0]}.{key[1]}/work")

    def leave(self, key: AttemptKey, name: str, data: bytes) -> Path:
        """A file that the attempt made."""
        path = self.work(key) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.server.give(path)
        return path

    def cached(self, data: bytes) -> bool:
        path = self.home / "cache" / digest(data)[3:]
        return path.exists() and path.read_bytes() == data


@dataclass
class DataWorld:
    world: World
    ending: ExitStack
    key: Path
    hosts: list[WorkerHost] = field(default_factory=list)
    tasks: int = 0

    # -- who is there --------------------------------------------------------------------------------

    def start(self, *arguments: str, **environment: str) -> None:
        self.world.start("--ssh-key", str(self.key), *arguments, **environment)
        self.world.hello()

    def host(self, name: str, *options: str, proxy: bool = False) -> WorkerHost:
        """A worker's host that lets the datastore in; `proxy`: through one, which can cut, slow and count."""
        server = self.ending.enter_context(ssh_server.running(options=options))
        (server.own / "authorized").write_text(ssh_server.public_key(self.key) + "\n")
        home = server.make("home")
        place = server.place(home)
        between = None
        if proxy:
            between = self.ending.enter_context(Proxy((server.host, server.port)).running())
            place = msgspec.structs.replace(place, port=between.port)
        made = WorkerHost(name, server, home, place, between)
        self.hosts.append(made)
        return made

    # -- what is asked -------------------------------------------------------------------------------

    def new_key(self) -> AttemptKey:
        self.tasks += 1
        return self.tasks, 1

    def collect(self, host: WorkerHost, files: dict[str, bytes], key: AttemptKey | None = None, **said: bytes) -> int:
        """Have the files made and collected; `said`: what the manifest claims of a file instead. The task's number."""
        key = key or self.new_key()
        for name, data in files.items():
            host.leave(key, name, data)
        self.order_collect(host, key, {**files, **said})
        return key[0]

    def order_collect(self, host: WorkerHost, key: AttemptKey, said: dict[str, bytes]) -> None:
        entries = [
            CollectFile(source=name, target=f"out/{key[0]}/{name}", size=len(data), digest=digest(data))
            for name, data in said.items()
        ]
        order = Collect(task=key[0], attempt=key[1], worker=host.name, place=host.place, files=entries)
        self.world.order(order)

    def stage(self, host: WorkerHost, data: bytes, name: str = "", key: AttemptKey | None = None) -> int:
        """Have a file put into the tree manually, and staged. The task's number."""
        key = key or self.new_key()
        name = name or f"in/{key[0]}"
        path = self.world.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(data)
        wanted = Input(name=name, path=Path(name).name, digest=digest(data), size=len(data))
        self.world.order(Stage(task=key[0], attempt=key[1], worker=host.name, place=host.place, inputs=[wanted]))
        return key[0]

    # -- what comes of it ----------------------------------------------------------------------------

    def answer(self, task: int) -> Answer:
        """How the order about this task ended."""
        found = self._wait(lambda report: isinstance(report, Answer) and report.task == task)
        assert isinstance(found, Answer)
        return found

    def first(self, tasks: list[int]) -> int:
        """The one that was published first; its answer stays."""

        def is_one(report: DatastoreReport) -> bool:
            return isinstance(report, Published) and report.task in tasks

        found = self._wait(is_one)
        assert isinstance(found, Published)
        self.world.waiting.append(found)
        return found.task

    def warning(self, word: str) -> str:
        """What a heartbeat says is in the way; empty `word`: that nothing is any more."""
        beat = self._wait(
            lambda report: (
                isinstance(report, DatastoreHeartbeat) and (word in report.warning if word else not report.warning)
            )
        )
        assert isinstance(beat, DatastoreHeartbeat)
        return beat.warning

    def _wait(self, wanted: Callable[[DatastoreReport], bool]) -> DatastoreReport:
        world = self.world
        deadline = time.monotonic() + scaled(60)
        while time.monotonic() < deadline:
            for position, report in enumerate(world.waiting):
                if wanted(report):
                    del world.waiting[position]
                    return report
            self._receive()
        raise AssertionError(f"no answer; the datastore said {world.waiting}\n{world.log()}")

    def _receive(self) -> None:
        from wire.codec import decode
        from wire.messages import DatastoreReports

        message = decode(self.world.listener.message(TOPICS.datastore_reports).payload, DatastoreReports)
        self.world.incarnation = message.incarnation
        self.world.waiting += message.reports

    def published(self, task: int, name: str) -> bytes | None:
        path = self.world.tree / "out" / str(task) / name
        return path.read_bytes() if path.exists() else None

    def visible(self) -> set[str]:
        """All that the tree shows to users."""
        tree = self.world.tree
        return {
            str(path.relative_to(tree))
            for path in tree.rglob("*")
            if not path.is_dir() and ".ecloud" not in path.relative_to(tree).parts
        }


@pytest.fixture
def data_world(mosquitto: brokers.EmbeddedBroker, links: Links, tmp_path: Path) -> Iterator[DataWorld]:
    link, listener = links.make(mosquitto, topics=(TOPICS.datastore_reports, TOPICS.datastore_presence))
    world = World(mosquitto, link, listener, tmp_path)
    with ExitStack() as ending:
        made = DataWorld(world, ending, ssh_server.make_key(tmp_path / "datastore-key"))
        yield made
        for program in world.programs:
            if program.poll() is None:
                program.terminate()
            program.wait(scaled(20))
        assert "Traceback" not in world.log(), world.log()
