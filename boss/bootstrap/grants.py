"""What operators granted to the workers that they start themselves: kept beside their passwords."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec

from boss.bootstrap.errors import BootstrapError
from boss.common.private_files import private_folder, write_private
from boss.core.policy import Grant
from boss.embedded.passwords import FOLDER

FILE = "grants.json"

_decoder = msgspec.json.Decoder(dict[str, Grant])


class GrantsError(BootstrapError):
    """The file of grants cannot be read; says why."""


class Grants:
    """Those of this deployment. All calls are safe from any thread."""

    def __init__(self, state_directory: Path) -> None:
        """Raises GrantsError."""
        self._path = state_directory / FOLDER / FILE
        self._lock = threading.Lock()
        try:
            self._grants = _decoder.decode(self._path.read_bytes())
        except FileNotFoundError:
            self._grants = {}
        except (OSError, msgspec.DecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else f"it is damaged ({error})"
            raise GrantsError(
                f"{self._path}, which says what workers of other hosts may be, cannot be read: {reason}; remove it and "
                "give them their pools and labels again: admin.py login NAME --pool POOL --label NAME=VALUE"
            ) from None

    def all(self) -> dict[str, Grant]:
        """Worker -> its grant, a copy."""
        with self._lock:
            return dict(self._grants)

    def of(self, worker: str) -> Grant:
        """The grant of this worker; an empty one where it has none."""
        with self._lock:
            return self._grants.get(worker, Grant())

    def set(self, worker: str, grant: Grant | None) -> bool:
        """On disk when this returns. None removes it. False: it is so already. Raises OSError; then nothing changed."""
        with self._lock:
            if self._grants.get(worker) == grant:
                return False
            changed = {name: each for name, each in self._grants.items() if name != worker}
            if grant is not None:
                changed[worker] = grant
            private_folder(self._path.parent)
            write_private(self._path, msgspec.json.format(msgspec.json.encode(changed)), durable=True)
            self._grants = changed
            return True
