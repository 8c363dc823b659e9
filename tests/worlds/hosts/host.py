"""One host: its processes, its files as seen from outside, its counters; how a command is run on it.

Knows namespaces by the number of the host's first process. Knows nothing of the network that the host is in.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.worlds.parts import need
from tests.worlds.waiting import scaled

#: The unprivileged user that every host has.
USER, USER_ID = "ecloud", 4242
HOME = f"/home/{USER}"
#: Where a host has our programs, and a virtual environment with their packages.
AGENT, ENVIRONMENT = "/opt/ecloud/agent", "/opt/ecloud/venv"
PYTHON = f"{ENVIRONMENT}/bin/python3"
#: What a host has for itself (start.sh makes it); all else that it sees is this machine's, under what it writes there.
OWN_FOLDERS = ("/home", "/root", "/tmp", "/var/tmp", "/run", "/dev/shm")
PACKAGES = f"{ENVIRONMENT}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"


class HostFault(AssertionError):
    """A host could not be started, or a command on it failed; says which, and what it said."""


class Program:
    """One process on a host. Signals reach the program itself; it ends with the host, or by `end`."""

    def __init__(self, process: subprocess.Popen[str], log: Path | None) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """As this machine counts; raises if it has ended."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        while self.poll() is None:  # nsenter has not come to it yet, or is about to end as well
            if numbers := children.read_text().split():
                return int(numbers[0])
            time.sleep(0.002)
        raise ProcessLookupError(f"the program has ended: {self.output()}")

    def poll(self) -> int | None:
        return self._process.poll()

    def wait(self, seconds: float = 60.0) -> int:
        return self._process.wait(timeout=scaled(seconds))

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def output(self) -> str:
        return self._log.read_text(errors="replace") if self._log else ""

    def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Signal it and wait; its exit code."""
        if self.poll() is None:
            try:
                self.send(number)
            except (ProcessLookupError, FileNotFoundError):
                pass
        return self.wait()


@dataclass
class Host:
    """A machine of its own, once `pid` is known. Paths are those that its own processes see."""

    name: str
    address: str
    folder: Path
    process: subprocess.Popen[str]
    pid: int = 0
    programs: list[Program] = field(default_factory=list)

    # --- files -------------------------------------------------------------------------------------

    def path(self, inside: str | Path) -> Path:
        """The same file as this machine reaches it. A symbolic link on the way would lead to this machine's files."""
        return Path(f"/proc/{self.pid}/root") / str(inside).lstrip("/")

    def write(self, inside: str, content: str | bytes, mode: int = 0o644) -> None:
        """A file of its unprivileged user, folders made as needed."""
        folder = os.path.dirname(inside)
        if not self.path(folder).exists():
            self.run(["mkdir", "-p", folder])
        path = self.path(inside)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        os.chmod(path, mode)
        os.chown(path, USER_ID, USER_ID)

    def find(self, pattern: str) -> list[str]:
        """Paths of this name at its top and in its own folders; of this machine's files none is looked at."""
        at_top = self.run(["find", "/", "-maxdepth", "1", "-name", pattern], user="root")
        within = self.run(["find", *OWN_FOLDERS, "-name", pattern], user="root")
        return [*at_top.splitlines(), *within.splitlines()]

    def authorize(self, public_key: str) -> None:
        """Let the bearer of this key log in as the user."""
        keys = f"{HOME}/.ssh/authorized_keys"
        present = self.path(keys).read_text() if self.path(keys).exists() else ""
        self.write(keys, f"{present}{public_key.strip()}\n", 0o600)

    @property
    def host_key(self) -> str:
        """Type and key, as a line of known_hosts has them behind the name."""
        return " ".join(self.path("/etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2])

    def sshd_log(self) -> str:
        return self.path("/var/log/sshd.log").read_text(errors="replace")

    # --- processes ---------------------------------------------------------------------------------

    def command(self, arguments: Sequence[str], user: str = USER, folder: str = HOME) -> list[str]:
        """What runs this on the host; it is killed when nsenter is."""
        number = "0" if user == "root" else str(USER_ID)
        enter = [need("nsenter"), "--target", str(self.pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
        become = ["setpriv", "--reuid", number, "--regid", number, "--clear-groups", "--pdeathsig", "KILL"]
        return [*enter, *become, "env", f"--chdir={folder}", *arguments]

    def environment(self, more: Mapping[str, str] = {}, user: str = USER) -> dict[str, str]:
        about = {"HOME": HOME, "USER": USER} if user == USER else {"HOME": "/root", "USER": "root"}
        path = f"{os.path.dirname(PYTHON)}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        return {**about, "PATH": path, "LANG": "C.UTF-8", "PYTHONPATH": AGENT, **more}

    def run(
        self,
        arguments: Sequence[str],
        user: str = USER,
        folder: str = "",
        seconds: float = 60.0,
        check: bool = True,
        **environment: str,
    ) -> str:
        """Its standard output and error, stripped; raises HostFault if it fails (`check`) or takes too long."""
        try:
            done = subprocess.run(
                self.command(arguments, user, folder or ("/" if user == "root" else HOME)),
                env=self.environment(environment, user),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=scaled(seconds),
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            said = (late.stdout or b"").decode(errors="replace")  # bytes, whatever was asked for
            raise HostFault(
                f"host {self.name}: {' '.join(arguments)} took over {scaled(seconds):g} s:\n{said}"
            ) from None
        if check and done.returncode:
            raise HostFault(f"host {self.name}: {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout.strip()

    def start(
        self, arguments: Sequence[str], name: str = "", user: str = USER, folder: str = HOME, **environment: str
    ) -> Program:
        """A program that goes on; its output is in a file of this machine (`Program.output`)."""
        log = self.folder / f"{name or Path(arguments[0]).name}-{len(self.programs)}.log"
        with open(log, "w") as file:
            process = subprocess.Popen(
                self.command(arguments, user, folder),
                env=self.environment(environment, user),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                text=True,
            )
        program = Program(process, log)
        self.programs.append(program)
        return program

    def processes(self) -> dict[int, str]:
        """Number (as this machine counts) -> command line, of all that run on it."""
        mine = os.stat(f"/proc/{self.pid}/ns/pid").st_ino
        found = {}
        for entry in os.listdir("/proc"):
            try:
                if entry.isdigit() and os.stat(f"/proc/{entry}/ns/pid").st_ino == mine:
                    found[int(entry)] = _command_line(int(entry))
            except OSError:
                continue  # ended meanwhile
        return found

    # --- counters ----------------------------------------------------------------------------------

    def received_and_sent(self) -> tuple[int, int]:
        """Bytes that went over its interface since it was started, in and out."""
        for line in Path(f"/proc/{self.pid}/net/dev").read_text().splitlines():
            name, _, numbers = line.strip().partition(":")
            if name == "eth0":
                columns = numbers.split()
                return int(columns[0]), int(columns[8])
        raise HostFault(f"host {self.name} has no interface")

    # --- its end -----------------------------------------------------------------------------------

    def power_off(self) -> None:
        """Everything on it ends at once, as by a cut of the mains; its files are gone."""
        if self.process.poll() is None:  # else its number may be another process's by now
            try:
                os.kill(self.pid or self.process.pid, signal.SIGKILL)  # unshare waits for the first process, then ends
            except ProcessLookupError:
                pass
        self.process.wait(timeout=scaled(60))
        for program in self.programs:
            program.wait()


def _command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()


def wait_for_number(process: subprocess.Popen[str], name: str, log: Path) -> int:
    """The number of the host's first process, which it says when it is up."""
    assert process.stdout is not None
    until = time.monotonic() + scaled(60)
    while select.select([process.stdout], [], [], max(0.0, until - time.monotonic()))[0]:
        line = process.stdout.readline().strip()
        if line.isdigit():
            return int(line)
        if not line:
            break
    raise HostFault(f"host {name} did not start: {log.read_text(errors='replace')[-2000:]}")
