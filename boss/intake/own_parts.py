"""What of its files an EPANET task is made from: its own rows of the table, and what its network says.

Digested on the user's machine, so that a longer table changes only the tasks whose rows have changed, and a network
whose lines end otherwise changes none. Reads the files of one push, each once. A table that cannot be read in rows
here (Parquet, or one in which something is wrong) counts whole, by the digest of its file.
"""

from __future__ import annotations

import csv
from hashlib import blake2b
from pathlib import Path

import msgspec

from boss.intake.stream import StreamTask
from wire.messages import EpanetRun, Execution

_execution = msgspec.json.Decoder(Execution)
_encode = msgspec.json.Encoder().encode
#: As the worker reads them (`worker.epanet.scenarios`).
_TABLES = (".csv", ".txt")
_DIGEST_BYTES = 16


class OwnParts:
    """Of the tasks of one file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        #: Names of requirements that are networks.
        self.networks: dict[str, None] = {}
        #: Name of a table -> digests of its header and of each of its rows, one after another; empty: not in rows.
        self._tables: dict[str, bytes] = {}
        self._digests: dict[tuple[str, tuple[int, int] | None], str] = {}

    def note(self, line: StreamTask) -> None:
        """Give the line of an EPANET task the digest of its rows, and remember its network."""
        if line.init or not bytes(line.execution).startswith(b'{"epanet"'):
            return
        try:
            run = _execution.decode(line.execution).epanet
        except msgspec.DecodeError:
            return  # rejected, which is said when the stream is read
        if run is None:
            return
        for name, path in line.requirements:
            if path == run.inp:
                self.networks[name] = None
            elif path == run.scenarios:
                line.rows = self._rows(name, run)

    def network(self, path: Path) -> str:
        """The digest of what a network says, however its lines end. Raises OSError."""
        content = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()

    def _rows(self, name: str, run: EpanetRun) -> str:
        key = name, run.rows
        if key not in self._digests:
            self._digests[key] = self._digest(name, run.rows)
        return self._digests[key]

    def _digest(self, name: str, rows: tuple[int, int] | None) -> str:
        table = self._table(name)
        if not table:
            return ""
        first, last = rows or (0, len(table))
        if first < 0 or last < first:
            return ""
        own = table[(1 + first) * _DIGEST_BYTES : (1 + last) * _DIGEST_BYTES]
        return blake2b(table[:_DIGEST_BYTES] + own, digest_size=_DIGEST_BYTES).hexdigest()

    def _table(self, name: str) -> bytes:
        if name not in self._tables:
            self._tables[name] = _digests_of_rows(self._folder / name)
        return self._tables[name]


def _digests_of_rows(path: Path) -> bytes:
    """Of the header, then of each row that is not empty; nothing where it cannot be read so."""
    if path.suffix.lower() not in _TABLES:
        return b""
    digests = bytearray()
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines)
            header = [column.strip() for column in next(reader, [])]
            digests += _digest_of(header)
            for row in reader:
                if row:
                    digests += _digest_of(row)
    except (OSError, UnicodeDecodeError, csv.Error):
        return b""
    return bytes(digests)


def _digest_of(cells: list[str]) -> bytes:
    return blake2b(_encode(cells), digest_size=_DIGEST_BYTES).digest()
