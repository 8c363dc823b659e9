"""A Mosquitto that is no child of the boss, with or without persistence; any client may log in (loopback only)."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.worlds.brokers import wait_for_broker
from tests.worlds.mariadb import free_port
from tests.worlds.parts import need
from tests.worlds.waiting import scaled


class OutsideBroker:
    def __init__(self, directory: Path, persistence: bool) -> None:
        self.port = free_port()
        self._directory = directory
        directory.mkdir()
        lines = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            f"persistence {str(persistence).lower()}",
            f"persistence_location {directory}/",
            "autosave_interval 1",
            *(["user root"] if os.geteuid() == 0 else []),
        ]
        (directory / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [need("setpriv"), "--pdeathsig", "KILL", need("mosquitto"), "-c", "mosquitto.conf"]
        with open(self._directory / "log", "ab") as log:
            self._process = subprocess.Popen(command, cwd=self._directory, stdout=log, stderr=log)
        wait_for_broker(self._process, self.port, self._directory / "log")

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def end(self, number: signal.Signals) -> None:
        """TERM lets it save what it has; KILL does not."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(scaled(30))
            self._process = None
