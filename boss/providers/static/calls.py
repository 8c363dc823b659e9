"""What is asked of a host through one connection: what it is, what runs there, bring a file, start, wait, end.

Each is a command of its own. Faults are sentences that name the host, the cause and what an operator can do.
"""

from __future__ import annotations

import inspect
import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from boss.providers.provider import ProviderError
from boss.providers.static import remote
from boss.providers.static.hosts import Host
from boss.ssh import ConnectionBrokenError, SshConnection
from boss.ssh.connection import Ran

#: Seconds.
ANSWER_SECONDS, BRING_SECONDS = 30.0, 600.0
#: Of what a command says.
_MAX_BYTES = 1_000_000
#: Beside the bundle, for its unpacked form and the tasks' files.
_MIN_FREE_BYTES = 200 * 1024**2

_PROBE = """LC_ALL=C; export LC_ALL
echo "machine $(uname -m)"
echo "home $HOME"
command -v rsync >/dev/null 2>&1 && echo "rsync yes"
for python in {pythons}; do
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    echo "python $version $(command -v "$python")"
done
"""
#: Runs what comes first in its input, and leaves the rest to it: nothing is installed, no command line shows it.
_RUN = "import sys; given = sys.stdin.buffer; exec(given.read(int(given.readline())))"


class HostError(ProviderError):
    """The host cannot be used, or not now. A sentence for operators."""


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a host is."""

    #: As `uname -m` says it.
    machine: str
    #: Of the user that we log in as.
    home: str
    #: Path of a Python that a bundle fits, and its version.
    python: str
    version: str

    @property
    def bundle(self) -> str:
        """Name of the bundle that fits."""
        return f"{self.version}-{self.machine}"


class HostProcess(msgspec.Struct, frozen=True, kw_only=True):
    """One process of a host, and no other one that ever was or will be there."""

    pid: int
    start: int
    boot: str


class HostAgent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that runs on a host, as the process that keeps it; itself, where none does."""

    pid: int
    start: int
    worker: str = ""
    deployment: str = ""
    pool: str = ""
    instance: str = ""
    #: Its home says that it is its agent: it is up.
    holds: bool = False


class HostObservation(msgspec.Struct, frozen=True, kw_only=True):
    """What runs there."""

    boot: str
    agents: list[HostAgent]
    free_bytes: int
    #: The bundle that was asked about is there.
    has: bool = False
    #: The last line of what the start says there.
    log: str = ""


class HostCalls:
    """Through one connection, to its end. Raises HostError, and ConnectionBrokenError of the connection."""

    def __init__(self, connection: SshConnection, host: Host) -> None:
        self._connection = connection
        self._host = host
        #: That the host has shown, and the settings know.
        self.host_key = connection.host_key_line

    def machine(self, versions: list[str]) -> HostFacts:
        """What the host is. `versions`: those of Python that there are bundles for, with machine: 3.11-x86_64; none: to
        look only.

        Blocks for about ANSWER_SECONDS at most. Raises HostError: no Python there fits, or rsync is not installed;
        ConnectionBrokenError.
        """
        names = [self._host.python] if self._host.python else _candidates(versions)
        said, _ = self._run("exec sh -s", _PROBE.format(pythons=" ".join(map(shlex.quote, names))).encode())
        lines = [line.split(" ", 1) for line in said.splitlines() if " " in line]
        reply = dict(lines)
        pythons = [value.split(" ", 1) for key, value in lines if key == "python"]
        machine = reply.get("machine", "")
        fit = [
            (version, path)
            for version, path in pythons
            if (f"{version}-{machine}" in versions if versions else _serves(version))
        ]
        if not fit:
            raise HostError(self._wrong_python(machine, pythons, versions))
        version, path = fit[0]
        if versions and "rsync" not in reply:
            raise HostError(f"host {self._host.at}: rsync is not installed, and files reach a worker by it only: "
                            "install it there (apt-get install rsync)")  # fmt: skip
        return HostFacts(machine=machine, home=reply.get("home", "/"), python=path, version=version)

    def look(self, machine: HostFacts, folder: str, bundle: str = "") -> HostObservation:
        """What runs there from `folder`, which is made if it is missing; `bundle`: path of one that is asked about.
        Blocks for about ANSWER_SECONDS at most. Raises HostError, ConnectionBrokenError.
        """
        return msgspec.convert(self._ask(machine, {"do": "look", "folder": folder, "bundle": bundle}), HostObservation)

    def bring(self, machine: HostFacts, file: Path, path: str, digest: str) -> None:
        """A file under a path there, whole or not at all."""
        content = file.read_bytes()
        self._ask(machine, {"do": "put", "path": path, "digest": digest}, content, BRING_SECONDS)

    def start(self, variables: Mapping[str, str], script: str, seconds: float) -> str:
        """Run the start script; empty, or why it failed. What it is given goes through its input: no command line
        shows it.
        """
        reply = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        said, code = self._run("exec sh -s", f"{reply}{script}\n".encode(), seconds)
        if code == 0:
            return ""
        return f"host {self._host.at}: the start script ended with {code}: {_last_line(said)}"

    def wait(self, machine: HostFacts, process: HostProcess, seconds: float) -> bool:
        """Whether it lives after so many seconds, or has ended before."""
        question = {"do": "wait", **msgspec.to_builtins(process), "seconds": seconds}
        return bool(self._ask(machine, question, seconds=seconds + ANSWER_SECONDS)["lives"])

    def stop(self, machine: HostFacts, process: HostProcess, pauses: tuple[float, float, float]) -> None:
        """End this process: TERM, TERM, KILL, with these seconds after each. Blocks until it has ended; one that is
        gone is no error. Raises HostError: it does not end; ConnectionBrokenError.
        """
        question = {"do": "stop", **msgspec.to_builtins(process), "pauses": pauses}
        if not self._ask(machine, question, seconds=sum(pauses) + ANSWER_SECONDS)["ended"]:
            raise HostError(f"host {self._host.at}: the agent (process {process.pid}) does not end, not even by KILL: "
                            "it hangs in the kernel, look at its disks and mounts")  # fmt: skip

    def _ask(
        self, machine: HostFacts, question: dict[str, Any], given: bytes = b"", seconds: float = ANSWER_SECONDS
    ) -> dict[str, Any]:
        source = f"{inspect.getsource(remote)}\nmain()\n".encode()
        parts = (f"{len(source)}\n".encode(), source, json.dumps(question).encode(), b"\n", given)
        said, code = self._run(f"exec {shlex.quote(machine.python)} -c {shlex.quote(_RUN)}", b"".join(parts), seconds)
        _, found, answer = said.rpartition(remote.ANSWER)
        if not found:
            raise HostError(
                f"host {self._host.at}: its Python ({machine.python}) ended with {code}: {_last_line(said)}"
            )
        reply: dict[str, Any] = json.loads(answer)
        if "fault" in reply:
            raise HostError(f"host {self._host.at}: {reply['fault']}")
        return reply

    def _run(self, command: str, given: bytes, seconds: float = ANSWER_SECONDS) -> tuple[str, int | None]:
        ran = Ran()
        said = b"".join(self._connection.run(command, given, ran, seconds, _MAX_BYTES))
        if ran.exit_code in (None, -1):
            raise ConnectionBrokenError(f"host {self._host.at}: the connection broke, or the command was killed there")
        return said.decode(errors="replace"), ran.exit_code

    def _wrong_python(self, machine: str, found: list[list[str]], versions: list[str]) -> str:
        there = ", ".join(f"{version} ({path})" for version, path in found) or "none"
        if not versions:
            return (
                f"host {self._host.at} has Python {there}, and without one from 3.9 on what runs there cannot be seen "
                "or ended: install one there"
            )
        wanted = sorted({each.partition("-")[0] for each in versions})
        machines = sorted({each.partition("-")[2] for each in versions})
        if machine not in machines:
            return (
                f"host {self._host.at} is {machine or 'unknown'}, and there are agents for {', '.join(machines)} only"
            )
        return (
            f"host {self._host.at} has Python {there}, and the agent needs {' or '.join(wanted)}: install one there "
            f'(apt-get install python{wanted[-1]}), or name it in hosts: python = "/path"'
        )


def check_room(host: Host, look: HostObservation, bundle_bytes: int, folder: str) -> None:
    """Raises HostError: the disk of `folder` has less than 200 MiB and five times the bundle's bytes left."""
    if look.free_bytes < _MIN_FREE_BYTES + 5 * bundle_bytes:
        raise HostError(f"host {host.at}: the disk of {folder} has {look.free_bytes // 1024**2} MB left, "
                        "too little for an agent: make room there")  # fmt: skip


def _last_line(said: str) -> str:
    return next((line.strip()[:500] for line in reversed(said.splitlines()) if line.strip()), "it said nothing")


def _candidates(versions: list[str]) -> list[str]:
    """Names to look for: the boss's own version first, whose bundle is made of what is installed here."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    exact = sorted({each.partition("-")[0] for each in versions}, key=lambda each: (each != own, each))
    return [*(f"python{each}" for each in exact), "python3"]


def _serves(version: str) -> bool:
    """For `remote`."""
    major, _, minor = version.partition(".")
    return major == "3" and minor.isdigit() and int(minor) >= 9
