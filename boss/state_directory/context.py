"""The context of a deployment: where boss and datastore are, as key and value.

What an operator has set stands in a file of the state directory; the rest is looked up each time, from the settings and
from what runs. So nothing in it can be out of date but what an operator set, and forgetting that is safe.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from boss.common.private_files import write_private

FILE = "context.json"
#: A host name or an address.
_ADDRESS = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?\Z")


class _Said(msgspec.Struct, omit_defaults=True):
    datastore_address: str = ""


class Context:
    """`boss_address`, `datastore_host`: what the settings say; empty: nothing."""

    def __init__(self, state_directory: Path, boss_address: str, datastore_host: str) -> None:
        self._path = state_directory / FILE
        self._boss_address = boss_address
        self._datastore_host = datastore_host

    def boss_address(self) -> str:
        return self._boss_address

    def datastore_address(self) -> str:
        """As an operator or the settings have set it; empty: neither has."""
        return said_datastore(self._path.parent) or self._datastore_host

    def is_said(self) -> bool:
        return bool(said_datastore(self._path.parent))

    def set_datastore(self, address: str) -> None:
        """Raises ValueError: it is no address; OSError."""
        if not _ADDRESS.match(address):
            raise ValueError(f"{address!r} is no host name and no address")
        write_private(self._path, msgspec.json.encode(_Said(datastore_address=address)) + b"\n")

    def drop(self) -> None:
        self._path.unlink(missing_ok=True)


def said_datastore(state_directory: Path) -> str:
    """What an operator has set by `admin.py set_datastore`; empty: nothing."""
    try:
        return msgspec.json.decode((state_directory / FILE).read_bytes(), type=_Said).datastore_address
    except (OSError, msgspec.DecodeError):
        return ""
