"""A cloud whose machines are real hosts: a front-end, and behind it what `tests.worlds.hosts` makes, with an sshd each.

    with network() as net, Cloud(net) as cloud:
        boss = net.host("boss", program="boss")      # it reaches the front-end at cloud.endpoint
        ...
        cloud.alive(), cloud.host(machine), cloud.front.knobs

A machine does what an image with OpenNebula's context packages does: root gets the context's SSH key, and each boot
(and each change of its NICs) runs START_SCRIPT as root with the context as environment. It has sshd, rsync and a
Python; nothing of ours. A machine that halts itself is seen as POWEROFF, one that is terminated ends as a machine does.
"""

from __future__ import annotations

import base64
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from tests.worlds.hosts import Host, HostFault, Network
from tests.worlds.hosts.host import USER
from tests.worlds.hosts.network import SUBNET, SWITCH
from tests.worlds.opennebula.front_end import FrontEnd
from tests.worlds.opennebula.objects import Attributes, Knobs, Machine, Timing
from tests.worlds.waiting import scaled, wait_for

#: Leased to machines; hosts that a test starts itself have those below, the switch has .254.
FIRST, LAST = 101, 250
#: Of the network for additional network interfaces.
SECOND = "10.78.0"
#: What a booted image looks for programs in.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CONTEXT = "/run/one-context"
_STARTS_AT_ONCE, _ENDS_AT_ONCE = 3, 8
_LOOK_SECONDS = 0.05
#: Where the datastore's machine has its persistent disk.
DATA = "/var/lib/ecloud"
_OWN_PARTS = frozenset({"START_SCRIPT", "START_SCRIPT_BASE64"})

T = TypeVar("T")


class Cloud:
    """`endpoint` is for programs on hosts of the network, `front.endpoint` for the test itself."""

    def __init__(self, net: Network, addresses: int = LAST - FIRST + 1, timing: Timing | None = None) -> None:
        self.net = net
        self.front = FrontEnd([f"{SUBNET}.{FIRST + n}" for n in range(addresses)], timing)
        self.front.add_network("internet", [f"{SECOND}.{n}" for n in range(1, 200)])
        self.endpoint = self.front.listen(SWITCH, net.inside)
        self.front.on_boot, self.front.on_end, self.front.on_plug = self._on_boot, self._on_end, self._on_plug
        #: What went wrong in machines; a test that cares asserts that it is empty.
        self.faults: list[str] = []
        self._hosts: dict[int, Host] = {}
        # Hosts and programs die with the thread that started them: these live as long as the cloud.
        self._starting = ThreadPoolExecutor(_STARTS_AT_ONCE, "start")
        self._ending = ThreadPoolExecutor(_ENDS_AT_ONCE, "end")
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="cloud", daemon=True)

    def __enter__(self) -> Cloud:
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._watcher.join(scaled(60))
        self._starting.shutdown(cancel_futures=True)
        self._ending.shutdown(cancel_futures=True)
        for host in list(self._hosts.values()):
            host.power_off()
        self.front.__exit__(kind, error, trace)

    # --- what tests look at and do -------------------------------------------------------------------

    @property
    def knobs(self) -> Knobs:
        return self.front.knobs

    def alive(self, role: str = "") -> list[Machine]:
        """Machines that are not done, or those whose mark ECLOUD_ROLE says so."""
        return [m for m in self.front.alive() if not role or m.user_template.get("ECLOUD_ROLE") == role]

    def host(self, machine: Machine | int) -> Host:
        """Its host; waits until it is up."""
        number = machine if isinstance(machine, int) else machine.id
        return self.wait(lambda: self._hosts.get(number), f"machine {number} is up")

    def wait(self, condition: Callable[[], T], what: str, seconds: float = 60.0) -> T:
        """What the condition gives once it is true; raises with what went wrong and all logs if it does not."""
        return wait_for(condition, what, seconds, every=0.05, story=lambda: f"{self.faults}\n{self.logs()}")

    def logs(self) -> str:
        """The end of what each machine's start script said."""
        return "\n".join(
            f"--- machine {number}\n{program.output()[-3000:]}"
            for number, host in list(self._hosts.items())
            for program in host.programs
        )

    # --- machines -------------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._closing.wait(_LOOK_SECONDS):
            with self.front.lock:
                for machine in list(self.front.machines.values()):
                    self.front.state(machine)
                    if machine.os_runs and self._look_at(machine):
                        machine.os_runs = False
                        if machine.ended_at is None and machine.stuck is None:
                            self.front.die(machine)

    def _look_at(self, machine: Machine) -> bool:
        """True: its host was there, and has ended."""
        host = self._hosts.get(machine.id)
        return host is not None and host.process.poll() is not None

    def _on_boot(self, machine: Machine) -> None:
        if self.knobs.silent:
            self.knobs.silent -= 1
            return
        machine.os_runs = True
        self._starting.submit(self._boot, machine)

    def _boot(self, machine: Machine) -> None:
        try:
            if machine.ended_at is not None:
                machine.os_runs = False
                return
            host = self.net.host(
                machine.name[:60], program="none", address=machine.address, logins=f"root {USER}",
                disk="2g", disks=self._disks(machine),
            )  # fmt: skip
            host.run(["sh", "-c", _FRESH], user="root")
            self._hosts[machine.id] = host
            self._run_script(machine)
        except (HostFault, OSError) as fault:
            self.faults.append(f"machine {machine.id}: {fault}")
            if machine.id not in self._hosts:
                machine.os_runs = False

    def disk(self, name: str) -> Path:
        """What is on a persistent image: a folder of this machine, kept while the cloud is."""
        folder = self.net.folder / "disks" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _disks(self, machine: Machine) -> list[tuple[Path, str]]:
        """Where a machine would mount it."""
        images = [self.front.images[number] for number in machine.images]
        return [(self.disk(image.name), DATA) for image in images if image.persistent]

    def run_again(self, machine: Machine) -> None:
        """Its start script, as at another boot."""
        self._starting.submit(self._run_script, machine).result(scaled(60))

    def _run_script(self, machine: Machine) -> None:
        """The context's variables are root's, then its start script runs."""
        host = self._hosts[machine.id]
        context: Attributes = machine.template.get("CONTEXT") or {}
        script = base64.b64decode(context.get("START_SCRIPT_BASE64") or "").decode() or context.get("START_SCRIPT", "")
        lines = [f"export {name}='{_quoted(value)}'\n" for name, value in context.items() if name not in _OWN_PARTS]
        host.run(["sh", "-c", _PREPARE, "sh", "".join(lines), context.get("SSH_PUBLIC_KEY", ""), script], user="root")
        # The machine's own environment: nothing of what other hosts of the tests are given.
        run = f'. {CONTEXT}/context.sh; exec env -u PYTHONPATH -u HOST_USER HOME=/root LANG=C "$0"'
        host.start(["sh", "-c", run, f"{CONTEXT}/start-script"], "start-script", "root", CONTEXT, PATH=PATH)

    def _on_plug(self, machine: Machine, nic: int, address: str) -> None:
        host = self._hosts.get(machine.id)
        if host is not None:
            self.net.plug(host, nic, address)
            self._starting.submit(self._run_script, machine)

    def _on_end(self, machine: Machine, hard: bool) -> None:
        host = self._hosts.get(machine.id)
        if host is not None:
            self._ending.submit(_end, host, hard)


def _end(host: Host, hard: bool) -> None:
    """As by its power button, or by its mains."""
    if not hard and host.process.poll() is None:
        halting = host.start(["/usr/sbin/poweroff"], "poweroff", "root", "/", PATH=PATH)
        until = time.monotonic() + scaled(30)
        while host.process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        halting.end(signal.SIGKILL)
    host.power_off()


def _quoted(value: object) -> str:
    return str(value).replace("'", "'\\''")


#: An image has no user of ours.
_FRESH = f"""
sed -i '/^{USER}:/d' /etc/passwd /etc/group /etc/shadow
rm -rf /home/{USER}
"""
_PREPARE = f"""
umask 077
mkdir -p {CONTEXT} /root/.ssh
printf %s "$1" >{CONTEXT}/context.sh
touch /root/.ssh/authorized_keys
grep -qxF -- "$2" /root/.ssh/authorized_keys || printf '%s\\n' "$2" >>/root/.ssh/authorized_keys
printf %s "$3" >{CONTEXT}/start-script
chmod 700 {CONTEXT}/start-script
"""

__all__ = ["Cloud", "FIRST", "LAST"]
