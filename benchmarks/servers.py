"""The servers of a measurement: what is installed, and a private MariaDB on loopback, durable as it is by default.

A commit waits for the disk there, which the tests' server leaves out.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.worlds.parts import fault_of

#: What the tests' server leaves out for speed.
DURABLE = ("--innodb-flush-method=O_DIRECT", "--sync-frm=1", "--innodb-file-per-table=1")


def missing(database: str, broker: str) -> str:
    """Empty, or one line that says which of these is not installed."""
    parts = [part for part in (database, broker) if part in ("mariadb", "mosquitto")]
    return "; ".join(filter(None, map(fault_of, parts)))


@contextmanager
def mariadb() -> Iterator[tuple[str, int]]:
    """URL of an empty database on a fresh server, and the server's process. Needs the development packages."""
    from tests.worlds.mariadb import MariaDb, install

    directory = Path(tempfile.mkdtemp(prefix="ecloud-db-"))
    try:
        install(directory)
        server = MariaDb(directory, options=(*DURABLE, f"--init-file={directory / 'login.sql'}")).start()
        try:
            yield server.fresh_url(), server.pid
        finally:
            server.kill()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
