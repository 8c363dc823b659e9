"""The program of the datastore as a process on a real Mosquitto, and a boss that a test scripts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TypeVar

from boss.embedded.broker import EmbeddedBroker
from tests.worlds.brokers import DATASTORE, TOPICS, Listener
from tests.worlds.digests import digest
from wire.codec import decode, encode
from wire.link import Connected, Link
from wire.messages import (
    VERSION,
    Collect,
    CollectFile,
    DatastoreHello,
    DatastoreOrder,
    DatastoreOrders,
    DatastoreReport,
    DatastoreReports,
    Place,
)

ROOT = Path(__file__).parents[2]


R = TypeVar("R")


class World:
    """A broker, a scripted boss, and datastore programs that it starts."""

    def __init__(self, broker: EmbeddedBroker, link: Link, listener: Listener, directory: Path) -> None:
        self.broker = broker
        self.link = link
        self.listener = listener
        self.directory = directory
        self.tree = directory / "tree"
        self.home = directory / "worker"
        self.home.mkdir()
        self.place = Place(path=str(self.home))
        self.password = directory / "password"
        self.password.write_text(DATASTORE.password + "\n")
        self.number = 0
        self.epoch = 1
        self.incarnation = ""
        self.waiting: list[DatastoreReport] = []
        self.programs: list[subprocess.Popen[bytes]] = []
        listener.wait(Connected)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        own = {
            "ECLOUD_BROKER_HOST": "127.0.0.1", "ECLOUD_BROKER_PORT": str(self.broker.port),
            "ECLOUD_DATASTORE_USERNAME": DATASTORE.username, "ECLOUD_DATASTORE_PASSWORD_FILE": str(self.password),
            "ECLOUD_MQTT_PREFIX": "test", "ECLOUD_DEPLOYMENT": "d", "ECLOUD_DATASTORE_TREE": str(self.tree),
        }  # fmt: skip
        with open(self.directory / "log", "ab") as log:
            program = subprocess.Popen(
                [sys.executable, "-m", "datastore", *arguments], cwd=ROOT, env={**os.environ, **own, **environment},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.programs.append(program)
        return program

    def hello(self) -> DatastoreHello:
        """Wait for the hello of a new incarnation."""
        former = self.incarnation
        while True:
            report = self.wait(DatastoreHello)
            if self.incarnation != former:
                return report

    def order(self, *orders: DatastoreOrder) -> None:
        self.number += 1
        message = DatastoreOrders(
            version=VERSION, deployment="d", receiver=self.incarnation, epoch=self.epoch, number=self.number,
            orders=list(orders),
        )  # fmt: skip
        assert self.link.publish(TOPICS.datastore_orders, encode(message))

    def wait(self, kind: type[R]) -> R:
        while True:
            for position, report in enumerate(self.waiting):
                if isinstance(report, kind):
                    del self.waiting[position]
                    return report
            message = decode(self.listener.message(TOPICS.datastore_reports).payload, DatastoreReports)
            if message.incarnation != self.incarnation:  # what the one before it said is of no interest any more
                self.waiting.clear()
            self.incarnation = message.incarnation
            self.waiting += message.reports

    def collect(self, task: int, files: dict[str, bytes]) -> Collect:
        work = self.home / "attempts" / f"{task}.1" / "work"
        work.mkdir(parents=True)
        entries = []
        for name, data in files.items():
            (work / name).write_bytes(data)
            entries.append(CollectFile(source=name, target=f"out/{name}", size=len(data), digest=digest(data)))
        return Collect(task=task, attempt=1, worker="w", place=self.place, files=entries)

    def log(self) -> str:
        return (self.directory / "log").read_text()
