"""A machine that has nothing but Python, sshd and rsync becomes a worker by its start script and its CONTEXT alone."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.embedded.broker import accepts_login
from tests.worlds.hosts import Host, network
from tests.worlds.hosts.bootstrap_site import HOME, NOTES, PLAIN_PYTHON, STATE, BootstrapSite, StartData
from tests.worlds.looking import phases, workers
from tests.worlds.waiting import scaled

pytestmark = [
    pytest.mark.needs("unshare", "nsenter", "setpriv", "ip", "sshd", "ssh", "ssh-keygen", "rsync", "mosquitto"),
    pytest.mark.timeout(400),
]

TOP = Path(__file__).resolve().parents[2]
TASKS = [
    {"id": "double", "requirements": ["in.txt"], "commands": ["cat in.txt in.txt > out.txt"], "results": ["out.txt"]},
    {
        "id": "solve",
        "epanet": {"inp": "Net1.inp", "output": {"nodes": {"variables": ["pressure"]}, "directory": "runs"}},
        "requirements": ["Net1.inp"],
        "results": ["runs/pressure.parquet"],
    },
]
ASK_AGAIN = """
import json, sys, urllib.error, urllib.request
about = json.load(open("/etc/ecloud/guest.json"))
url = f"{about['ECLOUD_BOSS_URL']}/api/v1/guests/{about['ECLOUD_WORKER_ID']}/login"
headers = {"Authorization": f"Bearer {about['ECLOUD_START_TOKEN']}", "Content-Type": "application/json"}
try:
    print(urllib.request.urlopen(urllib.request.Request(url, b"{}", headers)).status)
except urllib.error.HTTPError as error:
    print(error.code, json.load(error)["error"])
"""


class Scene:
    """One boss and the machine of its one worker, in the order in which the tests below go through their life."""

    def __init__(self, site: BootstrapSite, machine: Host, data: StartData) -> None:
        self.site = site
        self.machine = machine
        self.data = data
        #: Of its login at the broker, as the boss has it.
        self.password = ""

    def agent(self) -> int:
        return self.site.wait(lambda: self.site.agent_of(self.machine), "an agent runs on the machine")

    def online(self) -> None:
        self.site.wait(lambda: self.site.online() == ["vm-1"], "the worker has said hello")

    def log(self) -> str:
        return self.machine.path("/var/log/ecloud.log").read_text()


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with network() as net:
        site = BootstrapSite(net, {"labels": {"engine": "2.3"}, "orphan_after_seconds": 15.0}, orphan_after_seconds=15)
        site.start()
        data = site.start_data("vm-1")
        machine = site.machine("vm-1")
        began = time.monotonic()
        said = site.bootstrap(machine, data)
        assert said == "", said
        assert time.monotonic() - began < scaled(20), "the script returns at once"
        made = Scene(site, machine, data)
        made.online()
        made.password = site.boss.path(f"{STATE}/logins/mqtt_vm-1").read_text().strip()
        yield made


def test_it_becomes_a_worker_that_runs_tasks_with_files_and_epanet(scene: Scene) -> None:
    site = scene.site
    site.boss.write(f"{HOME}/site/in.txt", "twice\n")
    site.boss.write(f"{HOME}/site/Net1.inp", (TOP / "tests" / "networks" / "Net1.inp").read_text())
    site.boss.write(f"{HOME}/site/tasks.json", json.dumps(TASKS))
    site.push("tasks.json")
    data = site.boss.path(f"{HOME}/site/ecloud-data")
    assert (data / "out.txt").read_text() == "twice\ntwice\n"
    assert (data / "runs" / "pressure.parquet").read_bytes()[:4] == b"PAR1"


def test_its_agent_runs_as_a_user_of_its_own_with_what_the_pool_says(scene: Scene) -> None:
    agent = scene.agent()
    assert os.stat(f"/proc/{agent}").st_uid not in (0, os.getuid())
    variables = scene.site.variables_of(agent)
    assert json.loads(variables["ECLOUD_LABELS"]) == {"engine": "2.3"}
    assert variables["ECLOUD_BUNDLE"] in scene.data.variables["ECLOUD_BUNDLES"].split()
    assert "ECLOUD_START_TOKEN" not in variables
    (worker,) = scene.site.asked("show_workers")
    assert worker["labels"] == {"engine": "2.3"} and worker["address"] == scene.machine.address


def test_nothing_that_it_keeps_is_read_by_others_and_it_holds_no_key_of_the_boss(scene: Scene) -> None:
    listed = scene.machine.run(["ls", "-ln", "/etc/ecloud"], user="root").splitlines()[1:]
    modes = {line.split()[-1]: line.split()[0] for line in listed}
    assert {"guest.json", "worker.env", "worker.password"} <= set(modes)
    assert all(mode.startswith("-rw-------") for mode in modes.values()), modes
    found = scene.machine.run(
        ["grep", "-rl", "PRIVATE KEY", "/etc/ecloud", "/var/lib/ecloud"], user="root", check=False
    )
    assert found == ""
    password = scene.machine.path("/etc/ecloud/worker.password").read_text().strip()
    assert password not in json.dumps([dict(scene.data.variables), scene.data.script])


def test_at_the_next_run_of_the_script_nothing_happens(scene: Scene) -> None:
    before = scene.agent()
    began = time.monotonic()
    said = scene.site.bootstrap(scene.machine, scene.data)
    assert said.endswith("it runs already") and time.monotonic() - began < scaled(20)
    assert scene.agent() == before
    assert scene.log().count("ended with") == 0


def test_a_second_exchange_of_the_token_is_refused_and_reported(scene: Scene) -> None:
    said = scene.machine.run([PLAIN_PYTHON, "-c", ASK_AGAIN], user="root")
    assert said == "409 the login of worker vm-1 was given out already; it is given once"
    warnings = scene.site.asked("status")["warnings"]
    assert any("worker vm-1: its start token was used again at" in line for line in warnings), warnings
    assert scene.machine.address in " ".join(warnings)
    assert "start token used again by" in scene.site.admin("events")


def test_an_agent_that_is_killed_is_started_again(scene: Scene) -> None:
    before = scene.agent()
    os.kill(before, signal.SIGKILL)
    scene.site.wait(lambda: scene.site.agent_of(scene.machine) not in (0, before), "another agent runs")
    assert "the agent ended with -9; it is started again in 1 s" in scene.log()
    scene.online()


def test_after_a_reboot_it_has_its_login_and_its_bundle(scene: Scene) -> None:
    for number, line in scene.machine.processes().items():
        if "worker" in line:
            os.kill(number, signal.SIGKILL)
    scene.site.wait(lambda: scene.site.agent_of(scene.machine) == 0, "all is dead")
    asked = scene.site.admin("status").count("used again")
    assert scene.site.bootstrap(scene.machine, scene.data) == ""
    scene.agent()
    scene.online()
    assert scene.site.admin("status").count("used again") == asked, "the token was not shown again"


def test_what_is_wrong_with_it_can_be_looked_at_from_the_boss(scene: Scene) -> None:
    said = scene.site.admin("debug_worker", "vm-1")
    assert "FAILED" not in said, said
    for what in ("network", "boss address", "broker", "login", "clock", "room on its disk", "sshd", "rsync", "EPANET"):
        assert what in said, said
    assert "ok      agent version" in said


def test_what_is_wrong_with_it_can_be_looked_at_on_it_with_each_command_shown(scene: Scene) -> None:
    before = scene.agent()
    folder = scene.site.variables_of(before)["PYTHONPATH"]
    said = scene.machine.run(["sh", f"{folder}/worker/debug.sh"], user="root")
    assert "FAILED" not in said and "it runs already" in said, said
    assert f"+ sh -x {folder}/worker/startup.sh" in said and "+ rsync --version" in said
    assert "ok      boss address http://10.77.0.1:" in said and " the boss's\n" in said
    assert "login of the datastore as ecloud" in said
    assert scene.agent() == before
    scene.machine.run(["mv", "/usr/bin/rsync", "/usr/bin/rsync-away"], user="root")
    said = scene.machine.run(["sh", f"{folder}/worker/debug.sh", "--check"], user="root", check=False)
    scene.machine.run(["mv", "/usr/bin/rsync-away", "/usr/bin/rsync"], user="root")
    assert "FAILED  rsync: it is not in the PATH\n        what to do: install it: apt-get install rsync" in said


def test_an_old_agent_is_replaced_and_what_it_runs_counts(scene: Scene) -> None:
    site = scene.site
    site.boss.write(f"{HOME}/site/long.json", json.dumps([{"id": "long", "commands": ["sleep 8; echo done"]}]))
    site.push("long.json", "--detach")
    site.wait(lambda: "executing" in phases(site.look(workers)), "the long task runs")
    old = site.variables_of(scene.agent())["ECLOUD_BUNDLE"]
    site.stop_boss()
    site.boss.run(["cp", "-r", "/opt/ecloud/agent", f"{HOME}/newer"])
    topics = site.boss.path(f"{HOME}/newer/wire/topics.py")
    topics.write_text(topics.read_text() + "\n# of a newer version\n")
    site.agent = f"{HOME}/newer"
    site.start_boss()

    def replaced() -> bool:
        number = site.agent_of(scene.machine)
        return number != 0 and site.variables_of(number).get("ECLOUD_BUNDLE", old) != old

    site.wait(replaced, "an agent of the newer version runs", seconds=180)
    scene.online()
    folder = site.variables_of(scene.agent())["PYTHONPATH"]
    assert folder.startswith("/var/lib/ecloud/worker/programs/")
    assert "# of a newer version" in scene.machine.path(f"{folder}/wire/topics.py").read_text()
    task = site.asked("show_task", "long")["task"]
    assert (task["state"], task["attempt"]) == ("succeeded", 1), task
    assert "the agent has fetched the boss's version, which is started" in scene.log()


def test_one_that_is_lost_halts_its_machine(scene: Scene) -> None:
    """The last of this machine: its boss is gone for good. What halts a host ends its process tree."""
    site = scene.site
    assert scene.data.variables["ECLOUD_HALT_WHEN_ORPHANED"] == "1"
    site.net.cut(scene.machine)
    scene.machine.process.wait(timeout=scaled(120))
    assert not Path(f"/proc/{scene.machine.pid}").exists()


def test_the_login_of_an_instance_that_is_gone_is_refused_and_the_next_has_its_own(scene: Scene) -> None:
    site = scene.site

    def accepts(worker: str, password: str) -> bool | None:
        return site.net.inside(lambda: accepts_login(site.boss.address, 1883, worker, password))

    site.wait(lambda: accepts("vm-1", scene.password) is False, "the login is refused")
    assert not accepts("vm-1", "")

    def successor() -> str:
        for path in site.boss.path(NOTES).glob("*.json"):
            if json.loads(path.read_text())["instance"] != scene.data.instance:
                return path.stem
        return ""

    worker = site.wait(successor, "another machine is wanted in its place", seconds=120.0)
    password = site.boss.path(f"{STATE}/logins/mqtt_{worker}").read_text().strip()
    assert password != scene.password and accepts(worker, password) is True
