"""A boss on a host whose workers are machines of a provider of the tests', which writes down what each gets.

Knows how a boss is started with such a provider; what becomes of a machine is the tests' business:

    with network() as net:
        site = BootstrapSite(net)
        site.start()
        data = site.start_data("vm-1")
        machine = site.machine("vm-1")     # a bare host: Python, sshd, rsync, nothing of ours
        site.bring_up(machine, data)
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.worlds.hosts.boss_host import SITE, STATE, BossHost
from tests.worlds.hosts.host import HOME, PYTHON, Host, HostFault, Program
from tests.worlds.hosts.network import Network
from tests.worlds.looking import workers
from tests.worlds.waiting import wait_for

#: Where the provider is, with what makes an entry point of it; where it writes.
BROUGHT = f"{HOME}/brought"
NOTES = f"{HOME}/notes"
#: A machine's own Python: the system's, if the boss (who makes a bundle of what it has) has the same, else the boss's.
PLAIN_PYTHON = next(
    (path for path in (f"/usr/bin/python3.{sys.version_info.minor}",) if os.path.exists(path)),
    os.path.realpath(sys.executable),
)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PROVIDER = f"""
import json, os, threading
from boss.core.events import InstanceEnded, InstanceStarted, InstanceStartFailed
from boss.providers.provider import Limits

class Notes:
    warning = ""
    def __init__(self, pool, services):
        self.services = services
    def adopt(self, recorded):
        for one in recorded:
            self.services.notify(InstanceStarted(instance=one.instance, reference=one.reference or "r"))
    def start(self, instance, worker):
        try:
            data = self.services.bootstrap_data(instance, worker)
        except OSError as error:
            self.services.notify(InstanceStartFailed(instance=instance, reason=str(error)))
            return
        noted = {{"instance": instance, "variables": dict(data.variables), "script": data.script}}
        path = f"{NOTES}/{{worker}}.json"
        with open(path + ".new", "w") as file:
            json.dump(noted, file)
        os.rename(path + ".new", path)
        self.services.notify(InstanceStarted(instance=instance, reference=f"r{{instance}}"))
    def stop(self, instance, worker, reference):
        self.services.notify(InstanceEnded(instance=instance, reason="the test ended it"))
    def limits(self):
        return Limits()
    def close(self):
        pass
"""
T = TypeVar("T")


def toml(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{name} = {toml(one)}' for name, one in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value)


@dataclass(frozen=True)
class StartData:
    instance: int
    variables: Mapping[str, str]
    script: str


class BootstrapSite(BossHost):
    """`pool`: settings of the pool `vm`; `datastore`: its machine is one, too; `settings`: of the boss."""

    def __init__(
        self, net: Network, pool: Mapping[str, object] = {}, *, datastore: bool = False, **settings: object
    ) -> None:
        self.net = net
        self.datastore = datastore
        self.pool = {"provider": "notes", "min": 1, "max": 1, "boot_seconds": 5.0, **pool}
        self.settings = settings
        self.boss = net.host("boss", program="boss")
        self.program: Program | None = None

    # --- the boss ----------------------------------------------------------------------------------

    def start(self) -> None:
        self.prepare()
        self.start_boss()

    def prepare(self) -> None:
        """Settings and provider, before the first start."""
        for folder in (SITE, NOTES):
            self.boss.run(["mkdir", "-p", folder])
        self.boss.write(f"{BROUGHT}/notes_provider.py", PROVIDER + "\nmake = Notes\n")
        about = f"{BROUGHT}/notes_provider-1.dist-info"
        self.boss.write(f"{about}/METADATA", "Metadata-Version: 2.1\nName: notes-provider\nVersion: 1\n")
        self.boss.write(f"{about}/entry_points.txt", "[ecloud.providers]\nnotes = notes_provider:make\n")
        lines = [f"{name} = {toml(value)}" for name, value in self.pool.items()]
        self.boss.run(["mkdir", "-p", "-m", "700", STATE])
        if self.datastore:
            lines += ["", "[pools.store]", 'provider = "notes"', 'role = "datastore"']
        self.boss.write(f"{STATE}/settings.toml", "\n".join(["[pools.vm]", *lines, ""]))

    def start_boss(self) -> None:
        self.boss.path(f"{STATE}/boss.json").unlink(missing_ok=True)
        command = [PYTHON, "-P", "-m", "boss"]
        self.program = self.boss.start(command, "boss", folder=SITE, **self.environment())
        self.wait(self.boss.path(f"{STATE}/boss.json").exists, "the boss answers")

    def stop_boss(self) -> None:
        """As one that is upgraded: its workers live on."""
        assert self.program is not None
        self.program.end(signal.SIGKILL)

    def environment(self) -> dict[str, str]:
        usual = {
            "boss_address": self.boss.address,
            "http_host": "0.0.0.0",
            "broker_listen": "0.0.0.0",
            "broker_port": 1883,
            "embedded_broker": "mosquitto",
            "heartbeat_seconds": 0.5,
            "lease_seconds": 3,
        }
        values = {**usual, **self.settings}
        named = {f"ECLOUD_{name.upper()}": str(value) for name, value in values.items()}
        # No index is reached from here: the bundle for the other Python is not available, and that is reported at once.
        more = {"PYTHONPATH": f"{self.agent}:{BROUGHT}", "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null"}
        return {"ECLOUD_HOME": STATE, **named, **more}

    def start_data(self, worker: str) -> StartData:
        """What the machine of this worker is to get, once the boss wants one."""
        path = self.boss.path(f"{NOTES}/{worker}.json")
        self.wait(path.exists, f"the boss wants a machine for {worker}", seconds=180.0)
        return StartData(**json.loads(path.read_text()))

    def start_data_of_pool(self) -> StartData:
        """The same, of the first worker of the pool, whatever it is called."""
        notes = self.boss.path(NOTES)
        self.wait(lambda: list(notes.glob("vm-*.json")), "the boss wants a machine", seconds=180.0)
        return self.start_data(min(path.stem for path in notes.glob("vm-*.json")))

    # --- machines ------------------------------------------------------------------------------------

    def machine(self, name: str) -> Host:
        """With nothing of ours, and without the user that other hosts have."""
        host = self.net.host(name, program="none")
        host.run(["sed", "-i", "/^ecloud:/d", "/etc/passwd", "/etc/group", "/etc/shadow"], user="root")
        return host

    def bootstrap(self, machine: Host, start_data: StartData, **more: str) -> str:
        """What the machine does at each boot, as root, with nothing but its CONTEXT; what the script said."""
        machine.path("/root/start").write_text(start_data.script)
        about = {**start_data.variables, "ECLOUD_PYTHON": PLAIN_PYTHON, **more}
        variables = [f"{name}={value}" for name, value in about.items()]
        command = ["env", "-i", f"PATH={PATH}", "LANG=C", *variables, "sh", "/root/start"]
        return machine.run(command, user="root", seconds=30.0)

    def agent_of(self, machine: Host) -> int:
        """The number of its agent's process as this machine counts, 0: none."""
        for number, line in machine.processes().items():
            if line.endswith("-P -m worker"):
                return number
        return 0

    def variables_of(self, number: int) -> dict[str, str]:
        content = Path(f"/proc/{number}/environ").read_bytes().decode()
        return dict(line.split("=", 1) for line in content.split("\0") if "=" in line)

    # --- asking --------------------------------------------------------------------------------------

    def push(self, name: str, *options: str, seconds: float = 120.0) -> str:
        try:
            return self.type("push_tasks.py", *options, f"{SITE}/{name}", seconds=seconds)
        except HostFault as fault:
            raise HostFault(f"{fault}\n{self.logs()}") from None

    def online(self) -> list[str]:
        return [one["id"] for one in self.look(workers) if one["state"] == "online"]

    def wait(self, condition: Callable[[], T], what: str, seconds: float = 60.0) -> T:
        """What the condition gives once it is true; raises with all logs if it does not, or if the boss ends."""

        def check() -> None:
            if self.program is not None and self.program.poll() is not None:
                raise HostFault(f"the boss has ended, in vain: {what}\n{self.logs()}")

        return wait_for(condition, what, seconds, every=0.1, check=check, story=self.logs)

    def logs(self) -> str:
        said = [f"--- boss\n{self.program.output()[-4000:]}" if self.program else ""]
        for host in self.net.started:
            path = host.path("/var/log/ecloud.log")
            try:
                said.append(f"--- {host.name}\n{path.read_text(errors='replace')[-4000:]}")
            except OSError:
                continue
        return "\n".join(said)
