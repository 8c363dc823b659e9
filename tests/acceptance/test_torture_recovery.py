"""Recovery with real parts, one fault at a time: what was finished counts, what ran goes on, what waits is reported."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.api.schema import BatchAnswer
from boss.client.client import RequestRefusedError
from boss.client.find import boss_of
from boss.intake.reader import PushOptions, encode_stream, read_file
from tests.acceptance.torture import processes, verification
from tests.acceptance.torture.outside_broker import OutsideBroker
from tests.acceptance.torture.place import Place
from tests.worlds import mariadb
from tests.worlds.doc_blocks import TOP
from tests.worlds.waiting import scaled

mariadb_server = mariadb.mariadb_server

STEP = Path(__file__).parent / "torture" / "step.sh"

pytestmark = [pytest.mark.needs("mosquitto"), pytest.mark.timeout(180)]


@pytest.fixture
def places() -> Iterator[list[Place]]:
    """Deployments of the test: all their processes are ended, however the test ends."""
    made: list[Place] = []
    yield made
    for place in made:
        place.end()


@pytest.fixture
def place(tmp_path: Path, places: list[Place]) -> Place:
    places.append(Place(tmp_path, workers=2, slots=2))
    return places[0]


def step(place: Place, id: str, seconds: float, result: bool = True) -> dict[str, object]:
    command = ["sh", str(STEP), str(place.log), str(seconds)]
    return {"id": id, "commands": [command], "results": [["result", id]] if result else []}


def push(place: Place, tasks: list[dict[str, object]], name: str = "tasks") -> int:
    """The batch's number; the boss keeps working without a follower."""
    path = place.directory / f"{name}.json"
    path.write_text(json.dumps(tasks))
    file = read_file(path, PushOptions())
    return place.ask_until(lambda client: client.submit(encode_stream(file), detach=True)).batch


def finish(place: Place, batch: int) -> BatchAnswer:
    """Wait for the end of the batch, in which everything succeeds."""
    place.wait_for("the batch is finished", lambda: _batch(place, batch).finished)
    answer = _batch(place, batch)
    assert answer.counts.succeeded == answer.total, answer
    return answer


def _batch(place: Place, number: int) -> BatchAnswer:
    return place.ask_until(lambda client: client.batch(number))


def close(place: Place) -> None:
    assert place.end_boss() == 0
    left = processes.wait_until_none(place.mark, 30)
    assert not left, f"processes are left: {left}"


def starts(place: Place) -> list[str]:
    """The ids of all executions. (Attempt numbers may skip: what is sent ahead may be taken back.)"""
    return sorted(line.id for line in place.events() if line.what == "start")


def seen(place: Place, what: str) -> int:
    return sum(line.what == what for line in place.events())


@pytest.mark.parametrize("result", [True, False], ids=["with results", "without results"])
def test_what_a_worker_finished_without_a_boss_survives_its_agent_and_is_not_run_again(
    place: Place, result: bool
) -> None:
    place.start_boss()
    batch = push(place, [step(place, f"t{n}", 3, result) for n in range(4)])
    place.wait_for("all four run", lambda: seen(place, "start") == 4)
    place.signal_boss(signal.SIGKILL)
    place.wait_for("broker and datastore follow the boss", lambda: not place.processes("broker", "datastore"))
    place.wait_for("the tasks end without a boss", lambda: seen(place, "end") == 4)
    place.wait_for("no command is left", lambda: not place.processes("command"))
    time.sleep(1.0)  # the agents write down what ended
    for worker in place.processes("worker"):
        assert processes.send(worker, signal.SIGKILL)
    place.start_boss()
    finish(place, batch)
    assert starts(place) == ["t0", "t1", "t2", "t3"]
    if result:
        assert {(place.tree / f"t{n}").read_text().split()[0] for n in range(4)} == {"t0", "t1", "t2", "t3"}
    close(place)


def test_a_running_task_goes_on_while_the_boss_is_killed_and_started_again(place: Place) -> None:
    place.start_boss()
    batch = push(place, [step(place, "long", 6), *[step(place, f"t{n}", 0.5) for n in range(12)]])
    place.wait_for("the long one runs", lambda: "long" in starts(place))
    for _ in range(2):
        place.signal_boss(signal.SIGKILL)
        place.start_boss()
        place.status()
    finish(place, batch)
    assert starts(place).count("long") == 1
    assert len(starts(place)) == 13
    close(place)


@pytest.mark.parametrize("persistence", [True, False], ids=["with persistence", "without persistence"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["TERM", "KILL"])
def test_a_broker_that_is_restarted_loses_and_repeats_nothing(
    tmp_path: Path, places: list[Place], persistence: bool, number: signal.Signals
) -> None:
    broker = OutsideBroker(tmp_path / "mosquitto", persistence)
    broker.start()
    try:
        place = Place(tmp_path, workers=2, slots=2, ECLOUD_BROKER_HOST="127.0.0.1", ECLOUD_BROKER_PORT=str(broker.port))
        places.append(place)
        place.start_boss()
        batch = push(place, [step(place, f"t{n}", 0.2, n % 2 == 0) for n in range(60)])
        for count in (5, 20):
            place.wait_for(f"{count} are done", lambda count=count: seen(place, "end") >= count)  # type: ignore[misc]
            broker.end(number)
            time.sleep(1.0)
            broker.start()
        finish(place, batch)
        assert starts(place) == sorted(f"t{n}" for n in range(60))
        close(place)
    finally:
        broker.end(signal.SIGKILL)


@pytest.mark.needs("mariadb")
def test_while_the_database_is_away_workers_go_on_and_the_boss_says_so_and_goes_on_automatically(
    tmp_path: Path, places: list[Place], mariadb_server: mariadb.MariaDb
) -> None:
    place = Place(tmp_path, mariadb_server.fresh_url("mysql+pymysql"), workers=1, slots=2)
    places.append(place)
    place.start_boss()
    # Longer than the server takes to die on a loaded machine: what is under way then outlasts it.
    batch = push(place, [step(place, f"t{n}", 2.0, n % 2 == 0) for n in range(16)])
    place.wait_for("some are done, and the worker has as many again", lambda: _refilled(place))
    mariadb_server.kill()
    away_from = time.time()
    try:
        place.wait_for("the boss says so", lambda: "the database is away" in _admin_status(place))
        with pytest.raises(RequestRefusedError, match="the database is away") as refused:
            _push_now(place, [step(place, "late", 0)])
        assert refused.value.status == 503
        time.sleep(max(0.0, 15.0 - (time.time() - away_from)))
        # What was on the worker when the database went is done, though it could not be recorded.
        assert any(line.what == "start" and line.at > away_from for line in place.events())
    finally:
        mariadb_server.start()
    finish(place, batch)
    assert len(place.starts) == 1, "the same boss"
    assert place.boss_ended() is None
    assert starts(place) == sorted(f"t{n}" for n in range(16))
    finish(place, _push_now(place, [step(place, "late", 0)]))
    assert "the database is away" not in _admin_status(place)
    close(place)


def _refilled(place: Place) -> bool:
    """Attempts have ended, and the worker has two that run and two ahead."""
    attempts = [one for of_task in verification.read(place.database).attempts.values() for one in of_task]
    ended = sum(bool(one.ended) for one in attempts)
    return ended >= 2 and len(attempts) - ended >= 4


def _admin_status(place: Place) -> str:
    environment = {**os.environ, "ECLOUD_HOME": str(place.home)}
    command = [sys.executable, str(TOP / "admin.py"), "status"]
    done = subprocess.run(
        command, env=environment, cwd=place.directory, capture_output=True, text=True, timeout=scaled(60), check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _push_now(place: Place, tasks: list[dict[str, object]]) -> int:
    """One try; raises what the boss answers."""
    path = place.directory / "late.json"
    path.write_text(json.dumps(tasks))
    client = boss_of(place.home)
    assert client is not None
    try:
        return client.submit(encode_stream(read_file(path, PushOptions())), detach=True).batch
    finally:
        client.close()


def test_a_worker_that_is_ordered_to_stop_gives_its_tasks_back(place: Place) -> None:
    """One TERM: what runs may end, what has not begun goes to others; a second one: what runs is given back too."""
    place.start_boss()
    batch = push(place, [step(place, f"t{n}", 2, False) for n in range(12)])
    place.wait_for("four run", lambda: seen(place, "start") >= 4)
    victim = next(worker for worker in place.processes("worker") if worker.worker == "local-1")
    assert processes.send(victim, signal.SIGTERM)
    time.sleep(0.3)
    processes.send(victim, signal.SIGTERM)
    place.wait_for("the worker is gone", lambda: victim.pid not in {p.pid for p in place.processes("worker")}, 20)
    given_back = [line for line in place.events() if line.what == "start" and line.worker == "local-1"]
    finish(place, batch)
    repeated = {id for id in starts(place) if starts(place).count(id) > 1}
    assert repeated <= {line.id for line in given_back}, "only what was under way on that worker runs again"
    details = [place.ask_until(lambda client, id=id: client.task("default", id)) for id in repeated]  # type: ignore[misc]
    assert all(detail.attempts[0].ended in ("returned", "lost", "cancelled") for detail in details), details
    close(place)
