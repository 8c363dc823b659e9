"""Workers on hosts that are there already: what a host may be like, and what may happen on the way to it."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.common import processes
from boss.core.events import InstanceEnded, InstanceStarted, InstanceStartFailed
from boss.providers.provider import Recorded
from tests.worlds import ssh_server
from tests.worlds.fingerprints import fingerprint
from tests.worlds.parts import MORE_PATH
from tests.worlds.providers import PYTHON, SCRIPT, Static, stub, worker
from tests.worlds.waiting import scaled

pytestmark = pytest.mark.needs("sshd", "ssh-keygen", "useradd", "rsync")

#: Of Debian's, that the start script and a login need.
PROGRAMS = "sh uname env mkdir dirname tar gzip setsid sleep rsync".split()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Static]:
    made = Static(tmp_path)
    yield made
    made.close()


def failure(world: Static, number: int = 1) -> str:
    """What is said of a start that fails."""
    boss = world.bosses[-1] if world.bosses else world.boss()
    boss.provider.start(number, worker(number))
    over = boss.ended(number)
    assert isinstance(over, InstanceStartFailed)
    return over.reason


def with_programs(world: Static, *names: str) -> Path:
    """The host's PATH has these only."""
    folder = world.server.make("bin")
    path = os.pathsep.join((os.environ["PATH"], *MORE_PATH))
    for name in names:
        (folder / name).symlink_to(shutil.which(name, path=path) or name)
    world.server.stop()
    world.server.options = (f"SetEnv PATH={folder}",)
    world.server.start()
    return folder


# --- keys and logins --------------------------------------------------------------------------------


def test_a_host_that_shows_another_key_is_sent_nothing_and_both_are_named(world: Static) -> None:
    world.server.change_host_key()
    said = failure(world)
    assert f"{world.server.host}:{world.server.port}" in said
    assert fingerprint(world.server.host_key) in said and "name the new key" in said
    assert world.server.logins() == 0
    assert world.bosses[-1].provider.warning == said


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_the_fingerprint_may_be_that_of_any_of_the_host_s_keys(world: Static, kind: str) -> None:
    other = ssh_server.make_key(world.folder / kind, kind)
    world.server.stop()
    world.server.options = (f"HostKey {other}",)
    world.server.start()
    given = fingerprint(ssh_server.public_key(other))
    world.options["hosts"] = [{"address": world.server.host, "port": world.server.port, "user": world.server.user,
                               "fingerprint": given}]  # fmt: skip
    world.boss().start(1)


def test_keys_may_stand_in_a_known_hosts_file_and_a_revoked_one_does_not_count(world: Static) -> None:
    known = world.folder / "known_hosts"
    line = f"[{world.server.host}]:{world.server.port} {world.server.host_key}\n"
    world.options |= {"hosts": [world.host().split()[0]], "known_hosts": known}
    known.write_text("")
    assert "ssh-keyscan" in failure(world) and world.server.logins() == 0
    known.write_text(line + f"@revoked * {world.server.host_key}\n")
    world.boss()
    assert "has no key of" in failure(world)
    known.write_text(line)
    world.boss().start(1)


def test_a_user_who_does_not_know_our_key_is_shown_which_line_to_add(world: Static) -> None:
    (world.server.own / "authorized").write_text("")
    said = failure(world)
    assert f"{world.server.user}@" in said and "authorized_keys" in said


# --- what a host must have ----------------------------------------------------------------------------


def test_a_host_without_rsync_is_reported_with_the_remedy(world: Static) -> None:
    with_programs(world, *(name for name in PROGRAMS if name != "rsync"))
    world.options["hosts"] = [{**table(world), "python": python()}]
    assert "rsync is not installed" in failure(world) and "apt-get install rsync" in failure(world, 2)


def test_a_host_with_another_python_is_reported_with_which_there_is_and_which_is_wanted(world: Static) -> None:
    folder = with_programs(world, *PROGRAMS)
    (folder / "python3").write_text("#!/bin/sh\necho 3.8\n")
    (folder / "python3").chmod(0o755)
    said = failure(world)
    assert "has Python 3.8" in said and f"the agent needs {PYTHON}" in said
    (folder / "python3").unlink()
    world.boss()
    assert "has Python none" in failure(world)


def test_a_python_may_be_named(world: Static) -> None:
    with_programs(world, *PROGRAMS)
    world.options["hosts"] = [{**table(world), "python": python(), "slots": 3}]
    world.boss().start(1)
    given = Path(f"/proc/{world.pid()}/environ").read_bytes().split(b"\0")
    assert f"ECLOUD_PYTHON={python()}".encode() in given and b"ECLOUD_SLOTS=3" in given


def test_a_start_script_that_fails_is_reported_by_its_last_line_and_the_host_can_be_tried_again(world: Static) -> None:
    world.variables["STUB_FAILS"] = "1"
    said = failure(world)
    assert "ended with 9: the disk is on fire" in said
    world.variables.clear()
    boss = world.bosses[-1]
    boss.wait(lambda: boss.provider.limits().more == 1, "the host has rested")
    boss.start(2)
    assert boss.provider.warning == ""


def test_an_agent_that_does_not_come_up_is_reported_with_where_to_look(world: Static) -> None:
    world.pace = type(world.pace)(retry=0.2, come_up=1.0)
    world.variables["STUB_NEVER"] = "1"
    said = failure(world)
    assert "no agent came up" in said and str(world.home) in said


# --- never two ----------------------------------------------------------------------------------------


def test_an_agent_that_another_started_there_is_left_alone_and_none_is_started_beside_it(world: Static) -> None:
    for folder in (stub(world.folder), *list(world.folder.parents)[:-2], world.folder):
        folder.chmod(folder.stat().st_mode | 0o055)
    home = world.server.make("ecloud/home")
    given = {"PYTHONPATH": str(world.folder / "stub"), "ECLOUD_WORKER_ID": "theirs", "ECLOUD_WORKER_HOME": str(home)}
    account = pwd.getpwnam(world.server.user)
    foreign = subprocess.Popen(
        [python(), "-m", "worker"], env={**os.environ, **given}, cwd=world.folder, user=account.pw_uid,
        group=account.pw_gid, extra_groups=[],
    )  # fmt: skip
    try:
        world.boss().wait((home / "lock").exists, "theirs runs")
        said = failure(world)
        assert f"process {foreign.pid}" in said and "worker theirs" in said
        assert foreign.poll() is None and world.alive() == 1
    finally:
        foreign.kill()
        foreign.wait()


def test_a_host_that_has_an_agent_gets_no_second_one(world: Static) -> None:
    boss = world.boss()
    boss.start(1)
    boss.provider.start(2, worker(2))
    failed = boss.ended(2)
    assert isinstance(failed, InstanceStartFailed) and failed.full
    assert "limit" in failed.reason or "have an agent" in failed.reason
    assert world.alive() == 1


def test_one_machine_under_two_names_gets_one_agent(world: Static) -> None:
    world.max_workers = 2
    key = fingerprint(world.server.host_key)
    world.options["hosts"] = [world.host(), f"{world.server.user}@localhost:{world.server.port} {key}"]
    boss = world.boss()
    boss.start(1)
    boss.provider.start(2, worker(2))
    failed = boss.ended(2)
    assert isinstance(failed, InstanceStartFailed) and "is the same machine as" in failed.reason
    assert world.alive() == 1 and boss.reported(InstanceEnded) == []


def test_an_agent_of_ours_that_no_record_speaks_of_is_ended_when_a_boss_starts(world: Static) -> None:
    world.boss().start(1)
    boss = world.boss()
    boss.wait(lambda: world.alive() == 0, "it is ended")
    boss.start(2)


def test_a_boss_that_dies_while_the_script_runs_leads_to_one_agent_and_the_next_boss_has_it(world: Static) -> None:
    slow = world.data
    world.data = lambda *about: type(slow(*about))(  # type: ignore[method-assign]
        variables=slow(*about).variables, script=f"sleep 2.125\n{SCRIPT}"
    )
    first = world.boss()
    first.provider.start(1, worker(1))
    first.wait(lambda: b"sleep\x002.125" in command_lines(), "the script runs")
    boss = world.boss(Recorded(instance=1, worker=worker(1), reference=""))
    boss.wait(lambda: boss.started(1), "it is found")
    assert world.alive() == 1
    assert first.reported(InstanceStarted) == []


# --- on the way ---------------------------------------------------------------------------------------


def test_a_broken_connection_is_no_end_and_the_agent_is_watched_again(world: Static) -> None:
    boss = world.boss()
    (started,) = boss.start(1)
    agent = world.pid()
    for pid in world.server.processes():
        if pid != agent:
            os.kill(pid, signal.SIGKILL)
    boss.wait(lambda: set(world.server.processes()) - {agent}, "it is connected again")
    time.sleep(0.5)  # what it saw then would be reported
    assert boss.events == [started] and world.alive() == 1
    world.end_one(1)
    assert isinstance(boss.ended(1), InstanceEnded)


def test_a_host_that_is_away_is_tried_again_and_an_end_that_was_asked_for_is_not_forgotten(world: Static) -> None:
    boss = world.boss()
    (started,) = boss.start(1)
    agent = world.pid()
    world.server.stop()
    if not Path(f"/proc/{agent}").exists():
        pytest.fail("the agent ended with the sshd")
    boss.provider.stop(1, worker(1), started.reference)
    boss.wait(lambda: "nothing answers at" in boss.provider.warning, "it is reported")
    assert boss.reported(InstanceEnded) == []
    world.server.start()
    assert isinstance(boss.ended(1), InstanceEnded)
    assert world.alive() == 0
    boss.wait(lambda: boss.provider.warning == "", "all is well")


def test_a_host_that_is_well_again_is_found_so_without_a_start_and_pauses_grow(world: Static) -> None:
    world.pace = type(world.pace)(retry=0.3, retry_max=100.0)
    world.server.stop()
    visits: list[float] = []
    with socket.create_server((world.server.host, world.server.port)) as listener:
        listener.settimeout(scaled(20))
        boss = world.boss()
        while len(visits) < 4:
            listener.accept()[0].close()
            visits.append(time.monotonic())
        assert boss.provider.limits().more == 0 and "no sshd" in boss.provider.limits().reason
    pauses = [later - before for before, later in itertools.pairwise(visits)]
    assert pauses[0] < pauses[1] < pauses[2]
    world.server.start()
    boss.wait(lambda: boss.provider.limits().more == 1, "it is well")
    assert boss.provider.warning == "" and boss.events == []


def test_a_start_that_was_not_made_yet_is_taken_back(world: Static) -> None:
    world.server.stop()
    world.pace = type(world.pace)(retry=60.0)
    boss = world.boss()
    boss.provider.start(1, worker(1))
    boss.provider.stop(1, worker(1), "")
    over = boss.ended(1)
    assert isinstance(over, InstanceEnded | InstanceStartFailed)
    assert len(boss.events) in (1, 2) and world.alive() == 0


def test_an_agent_that_does_not_heed_term_is_killed(world: Static) -> None:
    world.variables["STUB_DEAF"] = "1"
    boss = world.boss()
    (started,) = boss.start(1)
    boss.provider.stop(1, worker(1), started.reference)
    boss.ended(1)
    assert world.alive() == 0


def test_a_kept_agent_that_crashes_is_the_same_instance_still(world: Static) -> None:
    world.variables["STUB_KEPT"] = "1"
    boss = world.boss()
    (started,) = boss.start(1)
    before = world.pid()
    assert int(started.reference.split()[1]) != before
    os.kill(before, signal.SIGKILL)
    boss.wait(lambda: world.alive() == 1 and world.pid() != before, "its keeper has started another")
    time.sleep(0.5)  # an end would be reported at once: the process that is watched had it
    assert boss.events == [started]
    again = world.boss(world.record(started))
    again.wait(lambda: again.started(1), "it is adopted")
    again.provider.stop(1, worker(1), started.reference)
    assert isinstance(again.ended(1), InstanceEnded)
    assert world.alive() == 0 and processes.start_time(int(started.reference.split()[1])) is None


def test_a_keeper_that_does_not_heed_term_is_killed_with_its_agent(world: Static) -> None:
    world.variables |= {"STUB_KEPT": "1", "STUB_DEAF": "1"}
    boss = world.boss()
    (started,) = boss.start(1)
    boss.provider.stop(1, worker(1), started.reference)
    assert isinstance(boss.ended(1), InstanceEnded)
    assert world.alive() == 0 and processes.start_time(int(started.reference.split()[1])) is None


def test_a_process_that_has_its_number_by_chance_is_left_alone(world: Static) -> None:
    (started,) = world.boss().start(1)
    at, pid, start, boot = started.reference.split()
    other = Recorded(instance=1, worker=worker(1), reference=f"{at} {os.getpid()} {start} {boot}")
    boss = world.boss(other)
    assert isinstance(boss.ended(1), InstanceEnded)
    assert int(pid) != os.getpid()


def test_a_host_that_left_the_settings_is_reported_as_gone(world: Static) -> None:
    boss = world.boss(Recorded(instance=1, worker=worker(1), reference="10.9.8.7:22 1 2 b"))
    over = boss.ended(1)
    assert isinstance(over, InstanceEnded) and "not in the pool any more" in over.reason and over.unseen


# --- what is brought ----------------------------------------------------------------------------------


def test_the_bundle_is_brought_once_and_a_former_one_goes(world: Static) -> None:
    boss = world.boss()
    (started,) = boss.start(1)
    (bundle,) = (world.home / "bundles").iterdir()
    before = bundle.stat()
    boss.provider.stop(1, worker(1), started.reference)
    boss.ended(1)
    boss.start(2)
    assert bundle.stat().st_ino == before.st_ino
    boss.provider.stop(2, worker(2), boss.started(2)[0].reference)
    boss.ended(2)
    world.bundle().unlink()
    (world.folder / "stub" / "worker" / "more.py").write_text("# another version\n")
    boss.start(3)
    (newer,) = (world.home / "bundles").iterdir()
    assert newer.name != bundle.name


def test_what_the_agent_is_given_stands_on_no_command_line(world: Static) -> None:
    world.variables["ECLOUD_START_TOKEN"] = "very-secret-token"
    boss = world.boss()
    boss.provider.start(1, worker(1))
    while not boss.started(1):
        assert b"very-secret-token" not in command_lines()
        assert not boss.reported(InstanceStartFailed)
    assert b"very-secret-token" in Path(f"/proc/{world.pid()}/environ").read_bytes()


# --- parts --------------------------------------------------------------------------------------------


def python() -> str:
    """A path that the host's user can run."""
    return f"/usr/bin/python{PYTHON}" if Path(f"/usr/bin/python{PYTHON}").exists() else sys.executable


def table(world: Static) -> dict[str, object]:
    return {
        "address": world.server.host,
        "port": world.server.port,
        "user": world.server.user,
        "fingerprint": fingerprint(world.server.host_key),
    }


def command_lines() -> bytes:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes())
    return b"\n".join(found)
