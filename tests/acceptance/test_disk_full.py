"""Full disks, each a small tmpfs: what is refused is refused whole; what waits says why, and goes on with more room."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from boss.cli.command import ExitCode
from tests.worlds.deployment import Deployment
from tests.worlds.waiting import scaled, wait_for

GOOD = [{"id": "good", "commands": ["true"]}]

SmallDisk = Callable[[Path, int], Path]


@pytest.fixture
def small_disk() -> Iterator[SmallDisk]:
    """Mounts a disk of so many megabytes there; unmounted after the deployment's processes have ended."""
    if os.geteuid() != 0:
        pytest.fail("this test mounts a small tmpfs: run it as root")
    with ExitStack() as mounted:

        def mount(place: Path, megabytes: int) -> Path:
            place.mkdir(mode=0o700, parents=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", place], check=True)
            mounted.callback(subprocess.run, ["umount", "-l", place], check=True)
            return place

        yield mount


def enlarge(place: Path, megabytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={megabytes}m", place], check=True)


@pytest.fixture
def deployment(tmp_path: Path, small_disk: SmallDisk) -> Iterator[Deployment]:
    made = Deployment(tmp_path / "user", heartbeat_seconds=0.5)
    yield made
    made.end()


def fill(place: Path, leave_bytes: int = 0) -> Path:
    """Leave only so much room."""
    about = os.statvfs(place)
    ballast = place / "ballast"
    with ballast.open("wb") as file:
        file.write(b"x" * max(0, about.f_bavail * about.f_frsize - leave_bytes))
    return ballast


def status(deployment: Deployment) -> str:
    done = deployment.admin("status")
    assert done.returncode == ExitCode.OK, done.stderr
    return done.stdout


def state_of(deployment: Deployment, task: str) -> str:
    """Empty before it is accepted."""
    done = deployment.admin("show_task", task, "--json")
    return str(json.loads(done.stdout)["task"]["state"]) if done.returncode == ExitCode.OK else ""


def test_a_push_that_the_state_directory_has_no_room_for_is_refused_whole(
    deployment: Deployment, small_disk: SmallDisk
) -> None:
    small_disk(deployment.home, 40)
    deployment.start_boss()
    many = deployment.write("many.json", [{"id": f"t{n}", "commands": [f"true {'x' * 1000}"]} for n in range(20_000)])
    done = deployment.push(many)  # 20 MB, for which the log and the tables take twice as much
    assert done.returncode == ExitCode.NO_BOSS and "may require" in done.stderr and "free some space" in done.stderr, (
        done.stderr
    )
    assert deployment.asked("show_batches") == []
    assert deployment.push(deployment.write("good.json", GOOD)).returncode == ExitCode.OK

    ballast = fill(deployment.home)
    (deployment.directory / "net.inp").write_bytes(os.urandom(100_000))
    sends = deployment.write("sends.json", [{"id": "a", "commands": ["test -s net.inp"], "requirements": ["net.inp"]}])
    for path in (deployment.write("other.json", [{"id": "other", "commands": []}]), sends):
        done = deployment.push(path)
        assert done.returncode == ExitCode.NO_BOSS and ("full" in done.stderr or "free some space" in done.stderr), (
            done.stderr
        )
        assert "Traceback" not in done.stderr
    assert [batch["total"] for batch in deployment.asked("show_batches")] == [1]

    ballast.unlink()
    assert deployment.push("other.json").returncode == ExitCode.OK
    assert deployment.push(sends).returncode == ExitCode.OK
    assert "Traceback" not in deployment.log()


@pytest.fixture
def full_database(deployment: Deployment, small_disk: SmallDisk) -> tuple[subprocess.Popen[str], Path]:
    """A boss whose database came upon a full disk when its tasks reported how they ended; and what fills it."""
    disk = small_disk(deployment.directory / "small", 8)
    deployment.settings["database"] = f"sqlite:///{disk}/ecloud.sqlite"
    boss = deployment.start_boss()
    gate = deployment.directory / "gate"
    wait = f"while test ! -e {gate}; do sleep 0.1; done; echo ran >> {deployment.directory}/log"
    tasks = [{"id": f"t{n}", "commands": [wait, "head -c 30000 /dev/urandom | base64"]} for n in range(40)]
    done = deployment.push(deployment.write("tasks.json", tasks), "--detach")
    assert done.returncode == ExitCode.OK, done.stderr
    wait_for(lambda: state_of(deployment, "t0") == "running", "the tasks run")
    ballast = fill(disk)
    gate.touch()
    wait_for(lambda: "disk is full" in status(deployment), "status says it")
    return boss, ballast


def test_a_boss_whose_disk_filled_up_goes_on_when_there_is_room(
    deployment: Deployment, full_database: tuple[subprocess.Popen[str], Path]
) -> None:
    _, ballast = full_database
    ballast.unlink()
    assert deployment.push("tasks.json").returncode == ExitCode.OK
    assert "disk is full" not in status(deployment)
    assert (deployment.directory / "log").read_text() == "ran\n" * 40  # each once: nothing was lost or run again


def test_a_boss_whose_disk_is_full_ends_when_it_is_ordered_to(
    deployment: Deployment, full_database: tuple[subprocess.Popen[str], Path]
) -> None:
    boss, ballast = full_database
    boss.terminate()
    boss.wait(scaled(60))
    assert deployment.wait_until_alone() == {}
    assert "Traceback" not in deployment.log()
    ballast.unlink()
    assert deployment.push("tasks.json").returncode == ExitCode.OK


def test_a_full_datastore_makes_results_wait_and_status_says_why(deployment: Deployment, small_disk: SmallDisk) -> None:
    small_disk(deployment.tree, 4)
    deployment.start_boss()
    big = {
        "id": "big",
        "commands": ["head -c 6000000 /dev/urandom > big.bin; echo ran >> {log}"],
        "results": ["big.bin"],
    }
    log = deployment.directory / "log"
    big["commands"] = [str(big["commands"][0]).format(log=log)]
    after = {"id": "after", "commands": ["test -s big.bin"], "requirements": ["big.bin"], "dependencies": ["big"]}
    little = {"id": "little", "commands": ["echo x > little"], "results": ["little"]}
    push = deployment.start_push(deployment.write("tasks.json", [big, after, little]))
    wait_for(lambda: "disk is full" in status(deployment), "status says it")
    wait_for(lambda: state_of(deployment, "little") == "succeeded", "what fits is collected")
    assert state_of(deployment, "big") == "running" and not (deployment.tree / "big.bin").exists()
    enlarge(deployment.tree, 40)
    assert push.wait(scaled(90)) == ExitCode.OK
    assert (deployment.tree / "big.bin").stat().st_size == 6_000_000
    assert log.read_text() == "ran\n"
    wait_for(lambda: "disk is full" not in status(deployment), "status does not say it any more")


def test_inputs_that_do_not_fit_a_worker_s_disk_do_not_fail_their_task(
    deployment: Deployment, small_disk: SmallDisk
) -> None:
    small_disk(deployment.home / "workers", 4)
    deployment.start_boss()
    (deployment.directory / "big.bin").write_bytes(os.urandom(6_000_000))
    task = {"id": "a", "commands": ["test -s big.bin"], "requirements": ["big.bin"], "retries": 0}
    push = deployment.start_push(deployment.write("tasks.json", [task, *GOOD]))
    wait_for(lambda: state_of(deployment, "good") == "succeeded", "what fits runs")
    wait_for(lambda: "disk is full" in deployment.admin("show_task", "a").stdout + status(deployment), "it shows why")
    assert state_of(deployment, "a") == "queued"
    enlarge(deployment.home / "workers", 60)
    assert push.wait(scaled(90)) == ExitCode.OK


FILL = 'while true; do head -c 1000000 /dev/zero >> "big$((n = n + 1))" 2>/dev/null || sleep 0.1; done'


def test_a_task_that_fills_the_disk_of_everything_is_stopped_and_all_others_run(
    deployment: Deployment, small_disk: SmallDisk
) -> None:
    """State, work and results on one disk, as they are by default."""
    small_disk(deployment.home, 80)
    deployment.settings["slots"] = 3
    others = [{"id": f"o{n}", "commands": ["sleep 0.5; echo x > y"], "retries": 0} for n in range(120)]
    push = deployment.start_push(deployment.write("tasks.json", [{"id": "filler", "commands": [FILL]}, *others]))
    assert push.wait(scaled(120)) == ExitCode.TASKS_FAILED
    failed = deployment.asked("show_failed")
    assert [task["id"] for task in failed] == ["filler"], [(task["id"], task["reason"]) for task in failed]
    assert "the task is taken to bring that about" in failed[0]["reason"], failed
    assert "and this attempt has written more than any other" in failed[0]["reason"], failed
    assert not list(deployment.home.glob("workers/*/attempts/*")), "nothing of it is left on the disk"
    assert "Traceback" not in deployment.log()


def test_a_task_above_its_limit_fails_by_its_own_fault(deployment: Deployment, small_disk: SmallDisk) -> None:
    small_disk(deployment.home, 80)
    deployment.settings["attempt_disk_bytes"] = 5_000_000
    tasks = [{"id": "filler", "commands": [FILL], "retries": 0}, *GOOD]
    done = deployment.push(deployment.write("tasks.json", tasks), timeout=90)
    assert done.returncode == ExitCode.TASKS_FAILED
    task = deployment.asked("show_task", "filler")
    assert "an attempt may write 5,000,000 (attempt_disk_bytes)" in task["task"]["reason"], task
    assert len(task["attempts"]) == 1
    assert deployment.asked("show_task", "good")["task"]["state"] == "succeeded"
