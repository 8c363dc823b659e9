"""A whole ecloud on hosts: boss with its Mosquitto, datastore, workers; agents started manually, data by rsync.

Knows how an operator would start each program on a machine of its own. Take it so:

    with network() as net:
        site = Cluster(net, workers=8)
        site.start()
        site.push("tasks.json")
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from typing import TypeVar

from boss.client.client import Client
from tests.worlds.hosts.boss_host import SITE, STATE, BossHost
from tests.worlds.hosts.host import HOME, PYTHON, USER, Host, HostFault, Program
from tests.worlds.hosts.network import Network
from tests.worlds.waiting import wait_for

#: Where things are on the hosts.
TREE = f"{HOME}/tree"
WORKER_HOME = f"{HOME}/worker"
BROKER_PORT = 1883
#: Where a host has the files of its login.
LOGIN_FILES = f"{HOME}/etc"
#: What `admin.py login NAME --write FOLDER --installed_in FOLDER` does, for many names in one process.
LOGINS = f"""
import json, pathlib, sys
from boss.client.find import boss_of
boss = boss_of(pathlib.Path({STATE!r}))
print(json.dumps({{name: boss.login(name, {LOGIN_FILES!r}).files for name in sys.argv[1:]}}))
boss.close()
"""
#: Where a measured boss writes how many seconds each of its turns took, a line each.
TURNS = f"{HOME}/turns"
MEASURED_BOSS = f"""
import runpy, sys, time
from boss.loop import Loop
plain, notes = Loop.turn, open({TURNS!r}, "a", buffering=1)
def measured(self, items):
    began = time.perf_counter()
    plain(self, items)
    notes.write(f"{{time.perf_counter() - began:.6f}}\\n")
Loop.turn = measured
sys.argv = ["boss"]
runpy.run_module("boss", run_name="__main__")
"""

T = TypeVar("T")


class Cluster(BossHost):
    """`settings` are ECLOUD_ variables of the boss, without the prefix, in small letters: lease_seconds=2."""

    def __init__(self, net: Network, workers: int = 8, slots: int = 1, **settings: object) -> None:
        self.net = net
        self.slots = slots
        self.settings: dict[str, object] = dict(settings)
        self.boss = net.host("boss", program="boss")
        self.datastore = net.host("datastore", program="datastore")
        self.workers = net.hosts(*(f"w{number}" for number in range(1, workers + 1)), program="worker")
        self.programs: dict[str, Program] = {}
        self._measured = False

    @property
    def names(self) -> list[str]:
        return [host.name for host in self.workers]

    # --- start -------------------------------------------------------------------------------------

    def start(self, worker: Mapping[str, str] = {}, datastore: Mapping[str, str] = {}) -> None:
        """All programs, the workers and the datastore with these options; returns when the boss knows them."""
        self.boss.run(["mkdir", "-p", SITE])
        self.admin("init")
        self.start_boss()
        self.make_logins()
        self.start_datastore(**datastore)
        for host in self.workers:
            self.start_worker(host, **worker)
        self.wait(self.is_complete, "the boss knows the datastore and all workers")

    def start_boss(self) -> None:
        what = ["-c", MEASURED_BOSS] if self._measured else ["-m", "boss"]
        program = self.boss.start([PYTHON, "-P", *what], "boss", folder=SITE, **self.environment())
        self.programs["boss"] = program
        self.wait(self.boss.path(f"{STATE}/boss.json").exists, "the boss answers", program)

    def make_logins(self) -> None:
        """What each program needs, made on the boss's host and copied to where it will run."""
        hosts = {"datastore": self.datastore, **{host.name: host for host in self.workers}}
        logins = json.loads(self.boss.run([PYTHON, "-P", "-c", LOGINS, *hosts], folder=SITE, **self.environment()))
        for name, files in logins.items():
            for file, content in files.items():
                hosts[name].write(f"{LOGIN_FILES}/{file}", content, 0o600)

    def start_datastore(self, **options: str) -> None:
        """`options`: of `python -m datastore`, with underscores; they win over what is usual here."""
        given = {"tree": TREE, **options}
        self.programs["datastore"] = _start(self.datastore, "datastore", given)

    def start_worker(self, host: Host, **options: str) -> None:
        """`options`: of `python -m worker`, with underscores; they win over what is usual here."""
        for key in ("boss", "datastore"):
            host.authorize(self.boss.path(f"{STATE}/keys/{key}.pub").read_text())
        given = {
            "home": WORKER_HOME,
            "slots": str(self.slots),
            "address": host.address,
            "ssh_user": USER,
            **options,
        }
        self.programs[host.name] = _start(host, "worker", given)

    # --- what a user types on the boss's host ------------------------------------------------------

    def environment(self) -> dict[str, str]:
        usual = {
            "datastore_host": self.datastore.address,
            "boss_address": self.boss.address,
            "http_host": "0.0.0.0",
            "broker_listen": "0.0.0.0",
            "broker_port": BROKER_PORT,
            "embedded_broker": "mosquitto",
            "local_workers": 0,
        }
        values = {**usual, **self.settings}
        return {"ECLOUD_HOME": STATE, **{f"ECLOUD_{name.upper()}": str(value) for name, value in values.items()}}

    def push(self, tasks: str, *options: str, seconds: float = 120.0) -> str:
        """`push_tasks.py` to its end: what it printed. Raises HostFault if it fails."""
        try:
            return self.type("push_tasks.py", *options, tasks, seconds=seconds)
        except HostFault as fault:
            raise HostFault(f"{fault}\n{self.admin('status')}\n{self.logs()}") from None

    def write(self, name: str, content: object) -> str:
        """A file of the user on the boss's host: a task file (anything that JSON can say), a text or bytes."""
        path = f"{SITE}/{name}"
        self.boss.write(path, content if isinstance(content, str | bytes) else json.dumps(content))
        return path

    # --- looking -----------------------------------------------------------------------------------

    def is_complete(self) -> bool:
        """Does the boss know the datastore and all workers? Raises if one of the programs has ended."""
        ended = [name for name, program in self.programs.items() if program.poll() is not None]
        if ended:
            raise HostFault(f"ended: {', '.join(ended)}\n{self.logs()}")
        status = self.look(Client.status)
        return bool(status["datastore_connected"]) and status["workers"] == len(self.workers)

    def wait(self, condition: Callable[[], T], what: str, program: Program | None = None, seconds: float = 60.0) -> T:
        """What the condition gives once it is true; raises with all logs if it does not, or if the program ends."""

        def check() -> None:
            if program is not None and program.poll() is not None:
                raise HostFault(f"a program has ended, in vain: {what}\n{self.logs()}")

        return wait_for(condition, what, seconds, every=0.05, check=check, story=self.logs)

    def measure_turns(self) -> None:
        """Before the start: have the boss write down how long each of its loop's turns takes."""
        self._measured = True

    def forget_turns(self) -> None:
        self.boss.path(TURNS).write_text("")

    def turns(self, share: float) -> float:
        """So many of the turns since then took at most so many seconds."""
        took = sorted(map(float, self.boss.path(TURNS).read_text().split()))
        return took[min(len(took) - 1, int(share * len(took)))]

    def logs(self) -> str:
        """The end of what each program said."""
        return "\n".join(f"--- {name}\n{program.output()[-3000:]}" for name, program in self.programs.items())

    def stop(self) -> None:
        """End all as an operator would: workers, datastore, boss, broker."""
        for name in [*self.names, "datastore", "boss"]:
            if name in self.programs:
                self.programs[name].end(signal.SIGTERM)


def _start(host: Host, program: str, given: dict[str, str]) -> Program:
    """With the settings of the files that `admin.py login` made."""
    options = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)]
    line = f'set -a; . {LOGIN_FILES}/{program}.env; exec "$@"'
    return host.start(["sh", "-c", line, "sh", PYTHON, "-P", "-m", program, *options], program)


__all__ = ["Cluster", "SITE", "STATE", "TREE", "WORKER_HOME"]
