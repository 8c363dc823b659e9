"""A network of hosts: a switch in a namespace of its own, the hosts plugged into it, what can be done to their cables.

This machine's own network is never touched: all links live in the switch's namespace and in those of the hosts.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.worlds.hosts.bundle import bundle, interpreter, package_folders, packages, places_to_hide
from tests.worlds.hosts.host import (
    AGENT,
    ENVIRONMENT,
    PACKAGES,
    USER,
    USER_ID,
    Host,
    HostFault,
    wait_for_number,
)
from tests.worlds.hosts.namespaces import in_network
from tests.worlds.parts import need

START = Path(__file__).with_name("start.sh")
#: Addresses of the network; the switch itself has the last one and serves whatever a test runs beside the hosts.
SUBNET = "10.77.0"
SWITCH = f"{SUBNET}.254"

T = TypeVar("T")


@dataclass
class Network:
    """Made by `network()`, which ends it. Hosts have the addresses 10.77.0.1 and up, in the order of their start."""

    folder: Path
    switch: subprocess.Popen[str]
    started: list[Host] = field(default_factory=list)
    _used: int = 0

    # --- hosts -------------------------------------------------------------------------------------

    def host(self, name: str, program: str = "worker", **options: Any) -> Host:
        """One more host; see `hosts`."""
        return self.hosts(name, program=program, **options)[0]

    def hosts(
        self,
        *names: str,
        program: str = "worker",
        disk: str = "4g",
        home_disk: str = "4g",
        address: str = "",
        logins: str = USER,
        disks: Sequence[tuple[Path, str]] = (),
    ) -> list[Host]:
        """Start them all at once. `program`: whose parts are in /opt/ecloud/agent: worker, datastore, boss or none.

        `disk`, `home_disk`: sizes of the root and of /home, as tmpfs takes them ("64m"). `address`: a used one again.
        `logins`: users whom sshd accepts, with blanks between. `disks`: folders of this machine that it has as disks,
        each with its place there.
        """
        sizes = (disk, home_disk)
        begun = [self._begin(name, program, sizes, address or self._next_address(), logins, disks) for name in names]
        self.started += begun
        for host in begun:
            host.pid = wait_for_number(host.process, host.name, host.folder / "host.log")
        for host in begun:
            self._plug_in(host)
        return begun

    def _next_address(self) -> str:
        self._used += 1
        return f"{SUBNET}.{self._used}"

    def _begin(
        self,
        name: str,
        program: str,
        sizes: tuple[str, str],
        address: str,
        logins: str,
        disks: Sequence[tuple[Path, str]],
    ) -> Host:
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
        base = folder / "base"
        base.mkdir()
        shown = [(bundle(program), AGENT), (packages(), PACKAGES)]
        hidden = places_to_hide()
        if any(interpreter().is_relative_to(place) for place in hidden):
            shown.append((interpreter(), str(interpreter())))
        about = {
            "HOST_NAME": name,
            "HOST_BASE": str(base),
            "HOST_DISK": sizes[0],
            "HOST_HOME_DISK": sizes[1],
            "HOST_SSH_USERS": logins,
            "HOST_USER": USER,
            "HOST_USER_ID": str(USER_ID),
            "HOST_PYTHON": os.path.realpath(sys.executable),
            "HOST_ENVIRONMENT": ENVIRONMENT,
            "HOST_HIDE": "\n".join(map(str, hidden)),
            "HOST_SHOW": "\n".join(f"{source}\n{place}" for source, place in shown),
            "HOST_DISKS": "\n".join(f"{source}\n{place}" for source, place in disks),
            "HOST_HIDE_THEN": "\n".join(map(str, package_folders())),
            "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
        }
        apart = ["--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
        with open(folder / "host.log", "w") as log:
            process = subprocess.Popen(
                [need("setpriv"), "--pdeathsig", "KILL", need("unshare"), *apart, "sh", str(START)],
                env=about,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return Host(name, address, folder, process)

    # --- cables ------------------------------------------------------------------------------------

    def _plug_in(self, host: Host) -> None:
        link = self._link(host)
        self._configure(
            f"link add {link} type veth peer name eth0 netns {host.pid}", f"link set {link} master switch up"
        )
        lines = ["link set lo up", f"addr add {host.address}/24 dev eth0", "link set eth0 up"]
        _batch(host.pid, "ip", lines)

    def plug(self, host: Host, nic: int, address: str) -> None:
        """One more network interface, on the same switch, with this address; an empty one takes it out."""
        link = f"{self._link(host)}c{nic}"
        if not address:
            self._configure(f"link del {link}")
            return
        self._configure(
            f"link add {link} type veth peer name eth{nic} netns {host.pid}", f"link set {link} master switch up"
        )
        _batch(host.pid, "ip", [f"addr add {address}/24 dev eth{nic}", f"link set eth{nic} up"])

    def _link(self, host: Host) -> str:
        return f"host{self.started.index(host)}"

    def _configure(self, *lines: str) -> None:
        _batch(self.switch.pid, "ip", lines)

    def cut(self, *hosts: Host) -> None:
        """Pull their cables: nothing gets through, no program learns of it."""
        self._configure(*(f"link set {self._link(host)} down" for host in hosts))

    def mend(self, *hosts: Host) -> None:
        """Plug them in again; it may take a second until the link carries."""
        self._configure(*(f"link set {self._link(host)} up" for host in hosts))

    def limit(self, host: Host, megabits: float) -> None:
        """So many megabits a second in each direction; 0: no limit any more."""
        for pid, device in ((self.switch.pid, self._link(host)), (host.pid, "eth0")):
            if megabits:
                _batch(pid, "tc", [f"qdisc replace dev {device} root tbf rate {megabits}mbit burst 64kb latency 50ms"])
            else:
                _batch(pid, "tc", [f"qdisc del dev {device} root"])

    def inside(self, work: Callable[[], T]) -> T:
        """What `work` gives, called where the switch's address is: sockets made by it belong to this network."""
        return in_network(self.switch.pid, work)

    # --- keys --------------------------------------------------------------------------------------

    @property
    def key(self) -> Path:
        """A private key of the tests; what is to accept it gets the public one by `Host.authorize(net.public_key)`."""
        path = self.folder / "key"
        if not path.exists():
            subprocess.run([need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "tests", "-f", path], check=True)
        return path

    @property
    def public_key(self) -> str:
        return self.key.with_suffix(".pub").read_text().strip()

    # --- its end -----------------------------------------------------------------------------------

    def end(self) -> None:
        with contextlib.ExitStack() as ending:
            ending.callback(shutil.rmtree, self.folder)
            ending.callback(self.switch.wait)
            ending.callback(self.switch.kill)
            for host in self.started:
                ending.callback(_close, host)
                ending.callback(host.power_off)


def _close(host: Host) -> None:
    if host.process.stdout is not None:
        host.process.stdout.close()


def _batch(pid: int, program: str, lines: Sequence[str]) -> None:
    """Have `ip` or `tc` do these in the network of that process."""
    done = subprocess.run(
        [need("nsenter"), "--target", str(pid), "--net", need(program), "-batch", "-"],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise HostFault(f"{program}: {'; '.join(lines)}: {done.stderr.strip()}")


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """A network without hosts; ended, with all that runs on its hosts, when the block is left."""
    if os.geteuid() != 0:
        raise HostFault("hosts are made of namespaces: run this test as root")
    net = Network(Path(tempfile.mkdtemp(prefix="hosts-")), _start_switch())
    try:
        # An address of its own: else it is that of one of its ports, changes with them, and hosts look for it in vain.
        _batch(
            net.switch.pid,
            "ip",
            [
                "link set lo up",
                "link add switch address 02:ec:00:00:00:fe type bridge",
                f"addr add {SWITCH}/24 dev switch",
                "link set switch up",
            ],
        )
        yield net
    finally:
        net.end()


def _start_switch() -> subprocess.Popen[str]:
    """A process that does nothing but hold a network namespace; it is there once this returns."""
    process = subprocess.Popen(
        [need("setpriv"), "--pdeathsig", "KILL", need("unshare"), "--net", "sh", "-c", "echo up; exec sleep 100000"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as said:
        if said.readline().strip() != "up":
            process.kill()
            process.wait()
            raise HostFault("no network namespace could be made: root and CAP_NET_ADMIN are needed")
    return process
