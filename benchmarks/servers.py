"""A private MariaDB server for a measurement: on loopback, durable as by default (a commit waits for the disk)."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: What the tests' server leaves out for speed.
DURABLE = ("--innodb-flush-method=O_DIRECT", "--sync-frm=1", "--innodb-file-per-table=1")


@contextmanager
def mariadb() -> Iterator[tuple[str, int]]:
    """URL of an empty database on a fresh server, and the server's process. Needs the development packages."""
    from tests.integration.mariadb import MariaDb, install

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
