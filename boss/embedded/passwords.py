"""The logins of the MQTT broker as they are kept: a password each, in a file that only its owner reads.

Made once, used again by the next boss; one that an operator made stays until it is removed. Which rights go
with a login is `boss.embedded.logins`.
"""

from __future__ import annotations

import secrets
import threading
from pathlib import Path

from boss.common.private_files import kept_secret
from boss.embedded.logins import MqttLogin
from wire.topics import WORKER_ID

FOLDER = "logins"
_START = "mqtt_"

#: What operators call the datastore's login, and what the broker does: no worker can have a name with this sign.
DATASTORE = "datastore"
DATASTORE_LOGIN = "@datastore"
#: Names that no worker can have, whatever the boss's own login is called.
RESERVED = frozenset({"boss", DATASTORE})


class Passwords:
    """All calls are safe from any thread."""

    def __init__(self, state_directory: Path) -> None:
        self._folder = state_directory / FOLDER
        self._lock = threading.Lock()
        self._passwords: dict[str, str] = {}

    def path(self, name: str) -> Path:
        return self._folder / f"{_START}{name}"

    def password(self, name: str) -> str:
        """Made if there is none."""
        with self._lock:
            if name not in self._passwords:
                self._passwords[name] = kept_secret(self.path(name), lambda: secrets.token_urlsafe(24))
            return self._passwords[name]

    def ensure(self, name: str) -> Path:
        """Its file, made if there is none."""
        self.password(name)
        return self.path(name)

    def set(self, name: str, password: str) -> None:
        """One that the settings say: it is in no file of ours."""
        with self._lock:
            self._passwords[name] = password

    def has(self, name: str) -> bool:
        return self.path(name).exists()

    def workers(self) -> list[MqttLogin]:
        """Every worker that has a login."""
        names = (path.name.removeprefix(_START) for path in self._folder.glob(f"{_START}*"))
        found = sorted(name for name in names if WORKER_ID.match(name) and name not in RESERVED)
        return [MqttLogin(name, self.password(name), "worker") for name in found]

    def remove(self, name: str) -> bool:
        """False: there was none."""
        with self._lock:
            self._passwords.pop(name, None)
            there = self.path(name).exists()
            self.path(name).unlink(missing_ok=True)
            return there
