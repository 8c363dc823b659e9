"""A private MariaDB server for tests: own data directory, loopback only, ended with the test session.

The data directory is made once per session. Works as root (then the server is configured so) and as any user
else. A killed test run takes its server along (`setpriv --pdeathsig`).
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest

from tests.worlds.waiting import scaled, wait_for

_HOW_TO = "install it: apt-get install mariadb-server (tests against MariaDB need its server)"
_names = itertools.count(1)


class MariaDb:
    """One server. `fresh_url()` makes an empty database on it."""

    def __init__(self, directory: Path, port: int = 0, options: tuple[str, ...] = ()) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> MariaDb:
        """From the main thread: the server ends with the thread that started it (so `--pdeathsig` has it)."""
        command = [
            *_dies_with_us(),
            _program("mariadbd", "/usr/sbin/mariadbd"),
            "--no-defaults",
            *_as_root(),
            f"--datadir={self.directory / 'data'}",
            f"--socket={self.directory / 's'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-log-bin",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=128M",
            "--innodb-log-file-size=64M",
            # No waiting for the disk: what a killed server wrote stays in the machine's memory.
            "--innodb-flush-method=nosync",
            "--sync-frm=0",
            "--innodb-file-per-table=0",
            *self.options,
        ]
        with open(self.directory / "log", "ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._wait()
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """As a power cut would: kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=scaled(60))
        self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout=scaled(60))
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def connect(self) -> pymysql.Connection[pymysql.cursors.Cursor]:
        return pymysql.connect(host="127.0.0.1", port=self.port, user="tester", password="secret", autocommit=True)

    def fresh_url(self, driver: str = "mysql") -> str:
        name = f"test_{next(_names)}"
        self.execute(f"CREATE DATABASE {name}")
        return f"{driver}://tester:secret@127.0.0.1:{self.port}/{name}"

    def execute(self, *statements: str) -> None:
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def _wait(self) -> None:
        def answers() -> bool:
            try:
                self.connect().close()
            except pymysql.Error:
                return False
            return True

        def check() -> None:
            assert self._process is not None and self._process.poll() is None, f"mariadbd has ended:\n{log()}"

        def log() -> str:
            return (self.directory / "log").read_text()[-2000:]

        wait_for(answers, "mariadbd answers", every=0.05, check=check, story=log)


@contextmanager
def largest_packet(server: MariaDb, size: int) -> Iterator[None]:
    """New connections send at most so many bytes at once."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@GLOBAL.max_allowed_packet")
        (before,) = cursor.fetchone() or (0,)
    server.execute(f"SET GLOBAL max_allowed_packet = {size:d}")
    yield
    server.execute(f"SET GLOBAL max_allowed_packet = {before:d}")


def install(directory: Path) -> None:
    """Make the data directory, with a login that tests use."""
    command = [
        _program("mariadb-install-db", "/usr/bin/mariadb-install-db"),
        "--no-defaults",
        *_as_root(),
        f"--datadir={directory / 'data'}",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=scaled(120), check=False)
    if done.returncode:
        raise RuntimeError(f"mariadb-install-db failed: {done.stdout[-1000:]} {done.stderr[-1000:]}")
    login = directory / "login.sql"
    login.write_text("CREATE USER tester@'%' IDENTIFIED BY 'secret';\nGRANT ALL ON *.* TO tester@'%';\n")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _program(name: str, usual: str) -> str:
    found = shutil.which(name) or (usual if os.access(usual, os.X_OK) else None)
    if found is None:
        pytest.fail(f"{name} is missing: {_HOW_TO}", pytrace=False)
    return found


def _as_root() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


def _dies_with_us() -> list[str]:
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDb]:
    """One server for the whole session. Its directory's name is short: a socket's path has 108 bytes."""
    directory = Path(tempfile.mkdtemp(prefix="ecloud-db-"))
    try:
        install(directory)
        server = MariaDb(directory, options=(f"--init-file={directory / 'login.sql'}",)).start()
        # A second start (after a test killed it) must not make the login again.
        server.options = ()
        yield server
        server.kill()  # its data is thrown away, so nothing needs to be put in order
    finally:
        shutil.rmtree(directory, ignore_errors=True)
