"""A datastore and a worker, started manually by what admin.py init and login gave them; a look at the worker's host.

One machine plays all: the worker's host is a real sshd on loopback. `tests/worlds/hosts` has hosts of their own.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worlds.deployment import TOP, Deployment, deployment
from tests.worlds.fingerprints import fingerprint
from tests.worlds.manual_site import TASKS, Site
from tests.worlds.ssh_server import me, running
from tests.worlds.waiting import scaled, wait_for

__all__ = ["deployment"]

pytestmark = [pytest.mark.needs("mosquitto", "sshd", "ssh", "ssh-keygen", "rsync"), pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="ecloud-site-") as folder, running(user=me()) as server:
        made = Site(Path(folder), server)
        try:
            made.start()
            yield made
        finally:
            made.deployment.end()


def test_files_move_between_a_datastore_and_a_worker_that_were_started_manually(site: Site) -> None:
    site.deployment.write("in.txt", "one\n")
    done = site.deployment.push(site.deployment.write("tasks.json", TASKS))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (site.tree / "n.txt").read_text().strip() == "2"
    assert site.server.logins() > 0
    assert not site.deployment.tree.exists(), "the boss started no datastore of its own"


def test_results_come_back_from_a_datastore_elsewhere_and_files_that_it_has_are_not_sent_again(site: Site) -> None:
    deployment = site.deployment
    deployment.write("in.txt", "one\n")
    tasks = deployment.write("tasks.json", TASKS)
    assert deployment.push(tasks).returncode == 0
    here = deployment.directory / "here"
    answer = deployment.asked("get", "*.txt", str(here))
    assert (answer["fetched"], answer["failed"]) == (2, [])
    assert ((here / "out.txt").read_text(), (here / "n.txt").read_text().strip()) == ("one\none\n", "2")
    assert list((deployment.home / "outgoing").iterdir()), "they came by way of the boss"
    assert deployment.asked("du")["."]["free_bytes"] > 0
    for sent in (deployment.home / "spool").iterdir():
        sent.unlink()  # as a day's sweep does
    again = deployment.push(tasks, "--project", "again")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "files sent" not in again.stderr and not list((deployment.home / "spool").iterdir())
    assert (site.tree / "projects/again/in.txt").read_text() == "one\n"


def test_results_that_were_deleted_on_a_datastore_elsewhere_are_made_again(site: Site) -> None:
    deployment = site.deployment
    deployment.write("in.txt", "one\n")
    tasks = deployment.write("tasks.json", TASKS)
    assert deployment.push(tasks).returncode == 0
    assert "All of it is done already" in deployment.push(tasks).stderr
    (site.tree / "out.txt").unlink()
    again = deployment.push(tasks)
    assert again.returncode == 0 and "1 whose results are gone" in again.stderr, again.stderr
    assert (site.tree / "out.txt").read_text() == "one\none\n"


def test_the_files_of_a_login_are_for_their_owner_alone_and_name_no_secret_on_a_command_line(site: Site) -> None:
    paths = [*(site.files / "w1").iterdir(), *(site.files / "datastore").iterdir()]
    assert {path.name for path in paths} == {
        "worker.env", "worker.password", "datastore.env", "datastore.password", "datastore.key", "datastore.token",
    }  # fmt: skip
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    secrets = [path.read_text().strip() for path in paths if path.suffix in (".password", ".token")]
    for pid in site.deployment.processes():
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        environment = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
        assert not [secret for secret in secrets if secret in command + environment]


def test_a_worker_that_is_well_passes_every_check_from_the_boss(site: Site) -> None:
    code, said, errors = site.debug("w1")
    assert code == 0, said + errors
    assert f"ok      host key: {fingerprint(site.server.host_key)}, a pinned one" in said
    assert f"ok      login of the boss as {me()}" in said
    for name in ("clock", "rsync", "login as w1", "boss", "agent", "agent version", "host keys of sshd", "EPANET"):
        assert f"ok      {name}" in said, said
    assert "checks passed." in said and "FAILED" not in said


def test_a_worker_of_the_bosss_own_machine_is_looked_at_without_ssh(deployment: Deployment) -> None:
    deployment.start_boss()
    wait_for(lambda: "State: online" in deployment.admin("show_workers").stdout, "the worker is there")
    done = deployment.admin("debug_worker", "local-1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Worker local-1 is on the boss's machine" in done.stdout
    assert "ok      login as local-1" in done.stdout and "sshd" not in done.stdout


def test_the_same_look_can_be_taken_on_the_host_itself(site: Site) -> None:
    """By a relative path, and with nothing in the environment: what the agent was given is in its home."""
    done = subprocess.run(
        [str(TOP / "debug.sh"), "--home", site.home.name],
        cwd=site.home.parent,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=scaled(60),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "+ df -h" in done.stdout and "ok      login as w1" in done.stdout
    assert (site.files / "w1" / "worker.password").read_text().strip() not in done.stdout


def test_a_boss_that_is_refused_says_which_line_is_missing_where(site: Site) -> None:
    authorized = site.server.own / "authorized"
    lines = authorized.read_text()
    authorized.write_text("".join(line for line in lines.splitlines(True) if "ecloud-boss" not in line))
    try:
        code, said, errors = site.debug("w1")
    finally:
        authorized.write_text(lines)
    assert code == 3
    assert f"FAILED  login of the boss: {me()}@127.0.0.1:{site.server.port}" in said and "keys/boss.pub" in said
    assert "checks of worker w1 failed: login of the boss" in errors


def test_an_agent_that_has_ended_is_missed(site: Site) -> None:
    [agent] = [pid for pid in site.deployment.pids("worker") if _worker_of(pid) == "w1"]
    os.kill(agent, signal.SIGKILL)
    wait_for(lambda: agent not in site.deployment.processes(), "the agent is gone")
    code, said, _ = site.debug("w1")
    assert code == 3
    assert "FAILED  agent: none runs in this home" in said and "systemctl start ecloud-worker" in said
    site.start_worker()
    wait_for(lambda: site.debug("w1")[0] == 0, "the agent is there again")


def test_a_host_that_shows_another_key_is_sent_nothing(site: Site) -> None:
    before, logins = site.server.host_key, site.server.logins()
    site.server.change_host_key()
    code, said, errors = site.debug("w1")
    assert code == 3
    assert fingerprint(before) in said and fingerprint(site.server.host_key) in said
    assert "checks of worker w1 failed: host key" in errors
    assert site.server.logins() == logins, "it did not even learn a user"


def test_what_is_no_worker_is_said(site: Site) -> None:
    assert "there is no worker 'w9'" in site.debug("w9")[2]


def test_a_login_that_is_removed_is_refused_until_it_is_made_again(site: Site) -> None:
    password = (site.files / "w1" / "worker.password").read_text()
    assert site.deployment.admin("login", "w1", "--remove").returncode == 0
    wait_for(lambda: "refused the login of 'w1'" in (site.files / "worker.log").read_text(), "it is refused")
    assert "there is no login 'w1'" in site.deployment.admin("login", "w1", "--remove").stderr
    assert "Login w1 at the broker: created." in site.make_files("w1")
    assert (site.files / "w1" / "worker.password").read_text() != password


def _worker_of(pid: int) -> str:
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next((each.decode().partition("=")[2] for each in variables if each.startswith(b"ECLOUD_WORKER_ID=")), "")
