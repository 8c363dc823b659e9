"""A real sshd on loopback for tests: a free port, its own host key and client key, a user who owns nothing else.

Take the fixtures like this:

    from tests.worlds import ssh_server
    server, own_server = ssh_server.server, ssh_server.own_server

* `server`: logs in an unprivileged user (made once, `ecloud-tests`, where the tests run as root; else whoever runs
  them). What stands for the worker's host goes below `server.folder`, which that user owns: `server.make("home")`.
* `own_server`: logs in whoever runs the tests, so that agents started by a test can share a home with the transfers.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.embedded.ports import listens
from tests.worlds.parts import MORE_PATH, need
from tests.worlds.waiting import scaled, wait_for
from wire.messages import Place

USER = "ecloud-tests"


class SshServer:
    """One sshd. `place(home)` is what a worker behind it would report; `options` are lines of its settings."""

    def __init__(self, folder: Path, user: str, options: tuple[str, ...] = ()) -> None:
        self.user = user
        self.options = options
        self.host = "127.0.0.1"
        self.port = free_port()
        #: Keys, settings and log: not the user's.
        self.own = folder / "sshd"
        #: The user's: stands for the worker host's disk.
        self.folder = folder / "host"
        self.own.mkdir(mode=0o755)
        self.make("")
        self.key = make_key(self.own / "client")
        self.host_key_file = make_key(self.own / "host")
        (self.own / "authorized").write_text(public_key(self.key) + "\n")
        (self.own / "authorized").chmod(0o644)
        self._process: subprocess.Popen[bytes] | None = None

    # -- what a test asks ----------------------------------------------------------------------------

    @property
    def host_key(self) -> str:
        """The public host key, as a line of `ssh_host_*_key.pub`."""
        return public_key(self.host_key_file)

    def place(self, home: Path) -> Place:
        return Place(
            kind="ssh", path=str(home), host=self.host, port=self.port, user=self.user, host_keys=[self.host_key]
        )

    def make(self, name: str) -> Path:
        """A folder of the user's own, below `folder`."""
        path = self.folder / name
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.give(path)
        return path

    def give(self, path: Path) -> None:
        """To the user, with all below it and every folder between it and `folder`."""
        account = pwd.getpwnam(self.user)
        below = [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]
        above = [parent for parent in path.parents if parent.is_relative_to(self.folder)]
        for each in (*below, *above):
            os.chown(each, account.pw_uid, account.pw_gid, follow_symlinks=False)

    def log(self) -> str:
        path = self.own / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def logins(self) -> int:
        """How many connections were accepted so far."""
        return self.log().count("Accepted publickey")

    def processes(self) -> list[int]:
        """All below the sshd that listens: sessions and what they run."""
        return descendants(self._process.pid) if self._process else []

    # -- its life ------------------------------------------------------------------------------------

    def start(self) -> None:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        settings = self.own / "settings"
        settings.write_text("\n".join((*self._settings(), "")))
        with open(self.own / "log", "ab") as log:
            command = [need("sshd"), "-D", "-e", "-f", str(settings)]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._wait_until_it_listens(self._process)

    def stop(self) -> None:
        """It and every session of it, at once: as if the host had gone."""
        process, self._process = self._process, None
        if process is None:
            return
        below = descendants(process.pid)
        process.kill()
        process.wait(scaled(20))
        end_all(below)

    def cut(self) -> None:
        """End every connection; new ones are accepted."""
        end_all(self.processes())

    def change_host_key(self) -> None:
        """As a host that was made again at the same address: other connections are ended."""
        self.stop()
        self.host_key_file = make_key(self.own / f"host-{time.monotonic_ns()}")
        self.start()

    def _settings(self) -> list[str]:
        path = os.pathsep.join((os.environ.get("PATH", os.defpath), *MORE_PATH))
        return [
            *self.options,  # the first line that sets something holds
            f"ListenAddress {self.host}",
            f"Port {self.port}",
            f"HostKey {self.host_key_file}",
            f"AuthorizedKeysFile {self.own / 'authorized'}",
            "PidFile none",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            # The folders above are the tests' and not all root's.
            "StrictModes no",
            "PrintMotd no",
            "UseDNS no",
            "LogLevel VERBOSE",
            # Not what the user's own shell does at each login: killed in the middle of it, that may leave locks.
            f"SetEnv PATH={path} HOME={self.folder}",
            "Subsystem sftp internal-sftp",
        ]

    def _wait_until_it_listens(self, process: subprocess.Popen[bytes]) -> None:
        def check() -> None:
            assert process.poll() is None, f"sshd ended with {process.returncode}:\n{self.log()}"

        listening = f"sshd listens on port {self.port}"
        wait_for(lambda: listens(process.pid, self.port), listening, every=0.01, check=check, story=self.log)


@pytest.fixture
def server() -> Iterator[SshServer]:
    with running() as made:
        yield made


@pytest.fixture
def own_server() -> Iterator[SshServer]:
    with running(user=me()) as made:
        yield made


@contextlib.contextmanager
def running(user: str = "", options: tuple[str, ...] = ()) -> Iterator[SshServer]:
    """One, started; its folder can be passed by everybody and goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="ecloud-ssh-"))
    folder.chmod(0o755)
    made = SshServer(folder, user or account(), options)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


# -- parts -------------------------------------------------------------------------------------------


def me() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


@functools.cache
def account() -> str:
    """The unprivileged user. Its password field is `*`: sshd without PAM refuses one that is locked (`!`)."""
    if os.geteuid() != 0:
        return me()
    try:
        pwd.getpwnam(USER)
    except KeyError:
        command = [
            need("useradd"), "--no-create-home", "--home-dir", "/", "--shell", "/bin/sh", "--password", "*",
            "--user-group", USER,
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=scaled(20))
    return USER


def make_key(path: Path, kind: str = "ed25519") -> Path:
    """A new key without a passphrase, its public half beside it."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "ecloud test", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=scaled(20))
    return path


def public_key(path: Path) -> str:
    return Path(f"{path}.pub").read_text(encoding="ascii").strip()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def descendants(pid: int) -> list[int]:
    """Children, their children and so on, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, new = [], [pid]
    while new:
        new = [child for parent in new for child in children.get(parent, ())]
        found += new
    return found


def end_all(pids: list[int]) -> None:
    """Kill these (just listed by `descendants`), and wait until none of them runs."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + scaled(20)
    while any(_runs(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.005)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False
