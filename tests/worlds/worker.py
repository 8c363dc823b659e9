"""A real agent process on a real broker, and a boss that does what a test tells it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from boss.embedded.broker import EmbeddedBroker
from tests.worlds.brokers import BOSS, TOPICS, WORKER, Links, Listener
from tests.worlds.waiting import wait_for
from wire.codec import decode, encode
from wire.link import Received
from wire.messages import (
    VERSION,
    Acknowledge,
    AttemptKey,
    Outcome,
    Presence,
    Welcome,
    WorkerHello,
    WorkerOrder,
    WorkerOrders,
    WorkerReport,
    WorkerReports,
)

ROOT = Path(__file__).resolve().parents[2]


class AgentProcess:
    """`python -m worker` in a home of its own."""

    def __init__(self, broker: EmbeddedBroker, directory: Path, **variables: str) -> None:
        self.home = directory / "home"
        directory.mkdir(exist_ok=True)
        (directory / "password").write_text(WORKER.password)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ECLOUD_")},
            "PYTHONPATH": str(ROOT),
            "ECLOUD_WORKER_ID": WORKER.username,
            "ECLOUD_WORKER_PASSWORD_FILE": str(directory / "password"),
            "ECLOUD_BROKER_HOST": broker.host,
            "ECLOUD_BROKER_PORT": str(broker.port),
            "ECLOUD_MQTT_PREFIX": TOPICS.prefix,
            "ECLOUD_DEPLOYMENT": "d",
            "ECLOUD_WORKER_HOME": str(self.home),
            "ECLOUD_SLOTS": "2",
            "ECLOUD_GRACE_SECONDS": "0.5",
            **variables,
        }
        self.log = directory / "log"
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "worker"], env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        return self.process

    def end(self) -> None:
        """TERM, TERM again a moment later (two at once would be one), KILL."""
        for seconds, give in ((0.3, self.process.terminate), (10.0, self.process.terminate), (10.0, self.process.kill)):
            if self.process.poll() is not None:
                return
            give()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)

    def attempts(self) -> list[str]:
        return sorted(os.listdir(self.home / "attempts"))


class ScriptedBoss:
    """Hears everything, sends only what it is ordered to; welcomes automatically."""

    def __init__(self, broker: EmbeddedBroker, links: Links, epoch: int = 1) -> None:
        self.listener = Listener()
        self.link, _ = links.make(broker, BOSS, (TOPICS.all_reports,), receive=self.listener)
        self.epoch = epoch
        self.number = 0
        self.incarnation = ""
        self.reports: list[WorkerReport] = []
        self.messages: list[WorkerReports] = []

    def online(self) -> None:
        presence = Presence(
            version=VERSION, deployment="d", name="boss", incarnation=f"b{self.epoch}", online=True, epoch=self.epoch
        )
        self.link.publish(TOPICS.boss_presence, encode(presence), retain=True)

    def order(self, *orders: WorkerOrder, **changes: Any) -> None:
        self.number += 1
        fields: dict[str, Any] = {"deployment": "d", "receiver": self.incarnation, "number": self.number}
        message = WorkerOrders(version=VERSION, epoch=self.epoch, orders=list(orders), **(fields | changes))
        assert self.link.publish(TOPICS.orders(WORKER.username), encode(message))

    def acknowledge(self, *keys: AttemptKey) -> None:
        self.order(Acknowledge(attempts=list(keys)))

    def hear(self) -> None:
        """Take one message of the worker."""
        event = self.listener.wait(Received, lambda event: event.topic == TOPICS.reports(WORKER.username))
        message = decode(event.payload, WorkerReports)
        self.messages.append(message)
        self.reports += message.reports
        for report in message.reports:
            if isinstance(report, WorkerHello) and message.incarnation != self.incarnation:
                self.incarnation = message.incarnation
                self.number = 0
                self.order(Welcome(heartbeat_seconds=1.0, orphan_after_seconds=600.0))

    def until(self, holds: Callable[[], bool]) -> None:
        """Hear the worker until that is so; it always says something soon, if only a heartbeat."""
        wait_for(holds, "the worker says it", every=0, check=self.hear)

    def hello(self) -> WorkerHello:
        """Wait for a hello, and take it out of what was heard."""
        self.until(lambda: any(isinstance(report, WorkerHello) for report in self.reports))
        found = next(report for report in self.reports if isinstance(report, WorkerHello))
        self.reports.remove(found)
        return found

    def outcome(self, task: int, attempt: int = 1) -> Outcome:
        self.until(lambda: bool(self.outcomes(task, attempt)))
        return self.outcomes(task, attempt)[0]

    def outcomes(self, task: int, attempt: int = 1) -> list[Outcome]:
        return [
            report
            for report in self.reports
            if isinstance(report, Outcome) and (report.task, report.attempt) == (task, attempt)
        ]
