"""A cloud whose machines share one host: each is a real agent with a login of its own, and boots in a moment.

For tests of what a boss makes of its cloud, where what a machine does to become a worker is not looked at: the start
script is not run. A machine exchanges its token for its login as that script does, and goes on trying while no boss
answers; no file can be brought to it.
"""

from __future__ import annotations

import signal

from tests.worlds.hosts import Network
from tests.worlds.hosts.host import HOME, PYTHON, HostFault, Program
from tests.worlds.opennebula.cloud import Cloud
from tests.worlds.opennebula.objects import Machine, Timing

#: Where every task of a test can write what it did.
LOG = f"{HOME}/log"
_MACHINE = f"""
import json, os, sys, time, urllib.error, urllib.request
worker, folder = os.environ["ECLOUD_WORKER_ID"], sys.argv[1]
os.makedirs(folder)
url = f"{{os.environ['ECLOUD_BOSS_URL']}}/api/v1/guests/{{worker}}/login"
headers = {{"Authorization": f"Bearer {{os.environ['ECLOUD_START_TOKEN']}}", "Content-Type": "application/json"}}
while True:
    try:
        body = json.dumps({{"folder": folder}}).encode()
        answer = json.load(urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=5))
        break
    except urllib.error.HTTPError as error:
        if error.code in (401, 403, 409):
            sys.exit(f"refused: {{error.code}}")
    except OSError:
        pass
    time.sleep(0.2)
for name, content in answer["files"].items():
    with open(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(content)
os.execv("/bin/sh", ["sh", "-c", f"set -a; . {{folder}}/worker.env; exec {PYTHON} -P -m worker --home {{folder}}/home"])
"""


class Hive(Cloud):
    """`faults`, `knobs` and the rest as of a cloud of hosts."""

    def __init__(self, net: Network, timing: Timing | None = None) -> None:
        super().__init__(net, timing=timing)
        self.home = net.host("hive", program="worker")
        self._agents: dict[int, Program] = {}

    def agent(self, machine: Machine) -> Program:
        """Waits until it is there."""
        return self.wait(lambda: self._agents.get(machine.id), f"machine {machine.id} has an agent")  # type: ignore[return-value]

    def _boot(self, machine: Machine) -> None:
        try:
            context = {name: str(value) for name, value in machine.template["CONTEXT"].items() if "ECLOUD_" in name}
            context |= {"ECLOUD_WORKER_ADDRESS": self.home.address, "LOG": LOG}
            command = [PYTHON, "-P", "-c", _MACHINE, f"{HOME}/machines/{machine.id}"]
            self._agents[machine.id] = self.home.start(command, machine.name, **context)
        except (HostFault, OSError) as fault:
            self.faults.append(f"machine {machine.id}: {fault}")
        if machine.ended_at is not None and machine.id in self._agents:
            self._agents[machine.id].end(signal.SIGKILL)
        elif machine.id not in self._agents:
            machine.os_runs = False

    def _on_end(self, machine: Machine, hard: bool) -> None:
        agent = self._agents.get(machine.id)
        if agent is not None:
            self._ending.submit(agent.end, signal.SIGKILL)

    def _look_at(self, machine: Machine) -> bool:
        agent = self._agents.get(machine.id)
        return agent is not None and agent.poll() is not None

    def logs(self) -> str:
        return "\n".join(f"--- machine {number}\n{one.output()[-1500:]}" for number, one in list(self._agents.items()))


__all__ = ["LOG", "Hive"]
