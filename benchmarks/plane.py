"""The data plane alone: the real datastore program, a real broker, workers' homes behind a real sshd, a scripted boss.

What a worker would have left is written by whoever measures. Starts and ends everything; measures nothing.
"""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from boss.embedded.broker import EmbeddedBroker
from boss.embedded.logins import MqttLogin
from tests.worlds import ssh_server
from tests.worlds.ssh_server import SshServer
from wire.codec import decode, encode
from wire.link import Connected, Link, LinkEvent, LinkOptions, Received
from wire.messages import (
    VERSION,
    Abandoned,
    AttemptKey,
    Collect,
    DatastoreHello,
    DatastoreOrders,
    DatastoreReport,
    DatastoreReports,
    Place,
    Published,
    Stage,
    StageDone,
    StageFailed,
)
from wire.topics import Topics

ROOT = Path(__file__).resolve().parent.parent
TOPICS = Topics("bench")
DEPLOYMENT = "bench"
_BOSS, _DATASTORE = MqttLogin("boss", "for-the-boss", "boss"), MqttLogin("datastore", "for-the-datastore", "datastore")
#: Of one message: what fits into it with room to spare.
_ORDERS_AT_ONCE = 1_000
#: Only against waiting for ever.
_TIMEOUT_SECONDS = 900.0

Answer = Published | Abandoned | StageDone | StageFailed


@dataclass
class Plane:
    """A running one. Made by `running`."""

    folder: Path
    broker: EmbeddedBroker
    server: SshServer
    workers: list[str]
    inbox: queue.SimpleQueue[LinkEvent] = field(default_factory=queue.SimpleQueue)
    incarnation: str = ""
    number: int = 0
    epoch: int = 0
    _link: Link | None = None
    _program: subprocess.Popen[bytes] | None = None

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    def home(self, worker: str) -> Path:
        return self.server.folder / worker

    def place(self, worker: str) -> Place:
        return self.server.place(self.home(worker))

    def work(self, worker: str, key: AttemptKey) -> Path:
        return self.home(worker) / "attempts" / f"{key[0]}.{key[1]}" / "work"

    # --- the datastore's program ---------------------------------------------------------------------

    @contextmanager
    def datastore(self, transfers: int = 16) -> Iterator[None]:
        """A fresh start of it: no connection is open yet."""
        variables = {
            "ECLOUD_BROKER_HOST": self.broker.host,
            "ECLOUD_BROKER_PORT": str(self.broker.port),
            "ECLOUD_DATASTORE_USERNAME": _DATASTORE.username,
            "ECLOUD_DATASTORE_PASSWORD_FILE": str(self.folder / "password"),
            "ECLOUD_DATASTORE_SSH_KEY": str(self.server.key),
            "ECLOUD_DATASTORE_TREE": str(self.tree),
            "ECLOUD_MQTT_PREFIX": TOPICS.prefix,
            "ECLOUD_DEPLOYMENT": DEPLOYMENT,
            "ECLOUD_TRANSFERS_AT_ONCE": str(transfers),
        }
        self.epoch += 1
        with open(self.folder / "datastore.log", "ab") as log:
            self._program = subprocess.Popen(
                [sys.executable, "-P", "-m", "datastore"],
                env={**os.environ, **variables, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._wait_for_hello()
            yield
        finally:
            self._program.terminate()
            self._program.wait(60)

    def _wait_for_hello(self) -> None:
        former = self.incarnation
        while True:
            message = self._next()
            if message.incarnation != former and any(isinstance(each, DatastoreHello) for each in message.reports):
                self.incarnation, self.number = message.incarnation, 0
                return

    # --- orders and answers --------------------------------------------------------------------------

    def ask(self, orders: list[Stage] | list[Collect]) -> list[Answer]:
        """Order all at once; when each has been answered, the answers."""
        assert self._link is not None
        for first in range(0, len(orders), _ORDERS_AT_ONCE):
            self.number += 1
            message = DatastoreOrders(
                version=VERSION,
                deployment=DEPLOYMENT,
                receiver=self.incarnation,
                epoch=self.epoch,
                number=self.number,
                orders=list(orders[first : first + _ORDERS_AT_ONCE]),
            )
            if not self._link.publish(TOPICS.datastore_orders, encode(message)):
                raise RuntimeError("the link does not take the orders")
        answers: dict[AttemptKey, Answer] = {}
        while len(answers) < len(orders):
            answers.update(((each.task, each.attempt), each) for each in _answers(self._next().reports))
        wrong = [each for each in answers.values() if not isinstance(each, Published | StageDone)]
        if wrong:
            raise RuntimeError(f"{len(wrong)} orders were not carried out: {wrong[0]}")
        return list(answers.values())

    def _next(self) -> DatastoreReports:
        until = time.monotonic() + _TIMEOUT_SECONDS
        while time.monotonic() < until:
            try:
                event = self.inbox.get(timeout=1.0)
            except queue.Empty:
                if self._program is not None and self._program.poll() is not None:
                    raise RuntimeError(f"the datastore ended:\n{self._log()}") from None
                continue
            if isinstance(event, Received) and event.topic == TOPICS.datastore_reports:
                return decode(event.payload, DatastoreReports)
        raise RuntimeError(f"the datastore says nothing:\n{self._log()}")

    def _log(self) -> str:
        return (self.folder / "datastore.log").read_text(errors="replace")[-3000:]


def _answers(reports: Iterable[DatastoreReport]) -> Iterator[Answer]:
    return (each for each in reports if isinstance(each, Published | Abandoned | StageDone | StageFailed))


@contextmanager
def running(workers: int, folder: Path | None = None) -> Iterator[Plane]:
    """On a fresh directory (below `folder`, else where temporary files go), gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="ecloud-bench-", dir=folder))
    with ExitStack() as ending:
        ending.callback(shutil.rmtree, directory, ignore_errors=True)
        (directory / "password").write_text(_DATASTORE.password + "\n")
        broker = EmbeddedBroker(directory / "broker", TOPICS, [_BOSS, _DATASTORE], kind="mosquitto")
        broker.start()
        ending.callback(broker.stop)
        server = ending.enter_context(ssh_server.running(user=ssh_server.me()))
        names = [f"w{number}" for number in range(1, workers + 1)]
        plane = Plane(directory, broker, server, names)
        for name in names:
            server.make(name)
        link = Link(
            LinkOptions(broker.host, broker.port, "bench", username=_BOSS.username, password=_BOSS.password),
            plane.inbox.put,
        )
        link.subscribe(TOPICS.datastore_reports)
        link.start()
        ending.callback(link.stop)
        plane._link = link
        while not isinstance(plane.inbox.get(timeout=30.0), Connected):
            pass
        yield plane
