"""What a provider works on in tests, each with one way to look at what is really there: processes, a fake site, a host
behind a real sshd, an OpenNebula front-end.

A boss is a provider and what it reported. The agent is a stub that takes its home and waits, brought as a bundle where
the provider brings one: what a provider does with an agent is the same whatever the agent does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from boss.common import processes
from boss.core.events import InstanceEnded, InstanceStarted, InstanceStartFailed
from boss.providers.fake import FakeProvider, Site
from boss.providers.local import COMMAND, LocalProvider
from boss.providers.opennebula import make as opennebula_make
from boss.providers.provider import BootstrapData, BossServices, Provider, Recorded
from boss.providers.registry import find
from boss.providers.static import StaticProvider
from boss.providers.static.host_keeper import KeeperTimeouts
from boss.setup import PoolSetup
from tests.worlds import ssh_server
from tests.worlds.digests import digest
from tests.worlds.fingerprints import fingerprint
from tests.worlds.opennebula.front_end import FrontEnd
from tests.worlds.waiting import wait_for

E = TypeVar("E")

#: Only against hanging.
DEPLOYMENT, POOL = "d1", "lab"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

#: Takes its home as the agent does. STUB_DEAF: ends by KILL only.
STUB = """
import fcntl, os, signal, sys, time
home = os.environ["ECLOUD_WORKER_HOME"]
os.makedirs(home, exist_ok=True)
lock = os.open(home + "/lock", os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
os.ftruncate(lock, 0)
os.pwrite(lock, b"%d" % os.getpid(), 0)
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN if os.environ.get("STUB_DEAF") else lambda *_: sys.exit(0))
while True:
    time.sleep(60)
"""
#: Keeps an agent as the genuine keeper does: starts it again, hands TERM on, ends with it.
STUB_KEEPER = """
import os, signal, subprocess, sys
agent = ending = None
def hand_on(number, frame):
    global ending
    ending = not os.environ.get("STUB_DEAF")
    agent.send_signal(number)
while not ending:
    agent = subprocess.Popen([sys.executable, "-m", "worker"])
    signal.signal(signal.SIGTERM, hand_on)
    if agent.wait() == 0:
        break
"""
#: What a machine runs: unpack, and start the agent in a session of its own.
SCRIPT = """
set -eu
if [ -n "${STUB_FAILS:-}" ]; then echo "the disk is on fire" >&2; exit 9; fi
program=$(dirname "$ECLOUD_WORKER_HOME")/program
mkdir -p "$program" "$ECLOUD_WORKER_HOME"
tar -xzf "$ECLOUD_BUNDLE_FILE" -C "$program"
cd "$program"
settings=$(dirname "$ECLOUD_WORKER_HOME")/settings
log=$ECLOUD_WORKER_HOME/log
if [ -n "${STUB_KEPT:-}" ]; then
    mkdir -p "$settings"
    "$ECLOUD_PYTHON" -c 'import json, os; print(json.dumps(dict(os.environ)))' >"$settings/guest.json"
    PYTHONPATH=$program setsid "$ECLOUD_PYTHON" -m worker.bootstrap "$settings" </dev/null >>"$log" 2>&1 &
elif [ -z "${STUB_NEVER:-}" ]; then
    PYTHONPATH=$program setsid "$ECLOUD_PYTHON" -m worker </dev/null >>"$log" 2>&1 &
fi
"""


class Boss:
    """A provider, and what it reported."""

    def __init__(
        self, provider: Provider, events: list[object], recorded: list[Recorded], alive: Callable[[], int]
    ) -> None:
        self.provider = provider
        self.events = events
        self._alive = alive
        provider.adopt(recorded)

    def reported(self, kind: type[E]) -> list[E]:
        return [event for event in list(self.events) if isinstance(event, kind)]

    def start(self, *numbers: int) -> list[InstanceStarted]:
        """So many, and wait until all are reported."""
        for number in numbers:
            self.provider.start(number, worker(number))
        self.wait(lambda: len(self.started(*numbers)) == len(numbers), f"{numbers} are started")
        self.wait(lambda: self._alive() >= len(numbers), f"{numbers} are there")
        return self.started(*numbers)

    def started(self, *numbers: int) -> list[InstanceStarted]:
        return [event for event in self.reported(InstanceStarted) if event.instance in numbers]

    def ended(self, number: int) -> InstanceEnded | InstanceStartFailed:
        """What is reported of its end."""

        def of_it() -> list[InstanceEnded | InstanceStartFailed]:
            over = [*self.reported(InstanceEnded), *self.reported(InstanceStartFailed)]
            return [event for event in over if event.instance == number]

        self.wait(of_it, f"the end of {number} is reported")
        return of_it()[0]

    def wait(self, condition: Callable[[], object], what: str) -> None:
        wait_for(condition, what, story=lambda: f"reported: {self.events}; {self.provider.warning}")


def worker(number: int) -> str:
    return f"{POOL}-{number}"


class World:
    """Of one provider. Subclasses say what is really there."""

    #: As many as there can be.
    max_workers = 3

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bosses: list[Boss] = []
        #: For the next machines.
        self.variables: dict[str, str] = {}

    def boss(self, *recorded: Recorded) -> Boss:
        """One more, as after a start of the boss; the one before is closed."""
        for before in self.bosses:
            before.provider.close()
        events: list[object] = []
        made = Boss(self.make(events.append), events, list(recorded), self.alive)
        self.bosses.append(made)
        return made

    def record(self, event: InstanceStarted) -> Recorded:
        return Recorded(instance=event.instance, worker=worker(event.instance), reference=event.reference)

    def make(self, notify: Callable[[Any], None]) -> Provider:
        raise NotImplementedError

    def alive(self) -> int:
        """How many are really there."""
        raise NotImplementedError

    def end_one(self, number: int) -> None:
        """From outside."""
        raise NotImplementedError

    def break_starts(self) -> None:
        """No start works from now on."""
        raise NotImplementedError

    def close(self) -> None:
        for boss in self.bosses:
            boss.provider.close()

    def pool(self, **options: object) -> PoolSetup:
        return PoolSetup(name=POOL, provider="test", max=self.max_workers, options=options)

    def services(self, notify: Callable[[Any], None], **more: Any) -> BossServices:
        given = {"ssh_key": self.folder / "no key", "bundle": self.no_bundle, **more}
        return BossServices(
            deployment=DEPLOYMENT,
            state_directory=self.folder,
            notify=notify,
            bootstrap_data=self.data,
            local_environment=self.environment,
            **given,
        )

    def data(self, instance: int, name: str) -> BootstrapData:
        variables = {
            "ECLOUD_WORKER_ID": name,
            "ECLOUD_DEPLOYMENT": DEPLOYMENT,
            "ECLOUD_POOL": POOL,
            "ECLOUD_INSTANCE": str(instance),
            "ECLOUD_BUNDLES": f"{PYTHON}-{os.uname().machine}={digest_of(self.bundle())}",
            **self.variables,
        }
        return BootstrapData(variables=variables, script=SCRIPT)

    @staticmethod
    def no_bundle(kind: str) -> Path:
        raise OSError(f"there is no bundle {kind}")

    def bundle(self) -> Path:
        path = self.folder / "agent.tar.gz"
        if not path.exists():
            package = stub(self.folder)
            with tarfile.open(path, "w:gz") as archive:
                archive.add(package, arcname="worker")
        return path

    def environment(self, name: str) -> Mapping[str, str]:
        stub(self.folder)
        variables = {"PYTHONPATH": str(self.folder / "stub"), "ECLOUD_WORKER_HOME": str(self.folder / "homes" / name)}
        return {**os.environ, **variables, **self.variables}


class Local(World):
    def make(self, notify: Callable[[Any], None]) -> Provider:
        (self.folder / "logs").mkdir(exist_ok=True)
        command = ["/nonexistent/python", "-m", "worker"] if self.variables.get("BROKEN") else COMMAND
        return LocalProvider(notify, self.environment, self.folder, command)

    def alive(self) -> int:
        return len(self._pids())

    def end_one(self, number: int) -> None:
        pid = self._pids()[worker(number)]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: processes.start_time(pid) is None, "the agent has ended")

    def break_starts(self) -> None:
        self.variables["BROKEN"] = "yes"

    def close(self) -> None:
        super().close()
        for pid in self._pids().values():
            os.kill(pid, signal.SIGKILL)

    def _pids(self) -> dict[str, int]:
        return homes_held(self.folder / "homes")


class Fake(World):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.site = Site()

    def make(self, notify: Callable[[Any], None]) -> Provider:
        return FakeProvider(self.pool(), self.services(notify), self.site)

    def alive(self) -> int:
        return len(self.site.machines)

    def end_one(self, number: int) -> None:
        self.site.end(next(m.id for m in self.site.machines.values() if m.instance == number))

    def break_starts(self) -> None:
        self.site.faults.refuse = 1000


class Static(World):
    """One host, whose user owns nothing of ours."""

    max_workers = 1

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._stack = contextlib.ExitStack()
        self.server = self._stack.enter_context(ssh_server.running())
        self.home = self.server.make("ecloud")
        self.pace = KeeperTimeouts(retry=0.2, retry_max=1.0, watch=2.0, come_up=10.0, end=(0.5, 1.0, 5.0))
        self.options: dict[str, object] = {"hosts": [self.host()], "home": str(self.home)}

    def host(self) -> str:
        return f"{self.server.user}@{self.server.host}:{self.server.port} {fingerprint(self.server.host_key)}"

    def make(self, notify: Callable[[Any], None]) -> Provider:
        services = self.services(notify, ssh_key=self.server.key, bundle=lambda kind: self.bundle())
        return StaticProvider(self.pool(**self.options), services, self.pace)

    def alive(self) -> int:
        return len(homes_held(self.home))

    def pid(self) -> int:
        return homes_held(self.home)["home"]

    def end_one(self, number: int) -> None:
        os.kill(self.pid(), signal.SIGKILL)

    def break_starts(self) -> None:
        self.server.stop()

    def close(self) -> None:
        super().close()
        for pid in homes_held(self.home).values():
            os.kill(pid, signal.SIGKILL)
        self._stack.close()


class OpenNebula(World):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._stack = contextlib.ExitStack()
        self.front = self._stack.enter_context(FrontEnd())
        self._stack.enter_context(mock.patch.object(opennebula_make, "ANSWER_SECONDS", 5.0))

    def make(self, notify: Callable[[Any], None]) -> Provider:
        options = {
            "opennebula_endpoint": self.front.endpoint,
            "opennebula_user": "ecloud",
            "opennebula_password": "secret",
            "template": "worker",
            "options": {"poll_seconds": 0.1, "start_seconds": 0.01, "longest_call_seconds": 1.0},
        }
        return find("opennebula")(self.pool(**options), self.services(notify))

    def alive(self) -> int:
        return len(self.front.alive())

    def end_one(self, number: int) -> None:
        machine = next(m for m in self.front.alive() if m.user_template.get("ECLOUD_INSTANCE") == str(number))
        machine.ended_at = time.monotonic() - 1000.0

    def break_starts(self) -> None:
        self.front.knobs.quota = 0

    def close(self) -> None:
        super().close()
        self._stack.close()


def stub(folder: Path) -> Path:
    """The package of the agent that only waits; written once: one that is starting may be reading it."""
    package = folder / "stub" / "worker"
    if package.exists():
        return package
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(STUB)
    (package / "bootstrap").mkdir(exist_ok=True)
    (package / "bootstrap" / "__init__.py").touch()
    (package / "bootstrap" / "__main__.py").write_text(STUB_KEEPER)
    return package


def digest_of(path: Path) -> str:
    return digest(path.read_bytes())


def homes_held(folder: Path) -> dict[str, int]:
    """Name of a home below the folder -> the agent that holds it."""
    found = {}
    for lock in folder.glob("*/lock"):
        text = lock.read_text()
        with contextlib.suppress(OSError, IndexError):
            if text.isdigit() and b"worker" in Path(f"/proc/{text}/cmdline").read_bytes().split(b"\0"):
                found[lock.parent.name] = int(text)
    return found


WORLDS: dict[str, type[World]] = {"local": Local, "fake": Fake, "static": Static, "opennebula": OpenNebula}


@contextlib.contextmanager
def world_of(name: str, folder: Path) -> Iterator[World]:
    made = WORLDS[name](folder)
    try:
        yield made
    finally:
        made.close()
