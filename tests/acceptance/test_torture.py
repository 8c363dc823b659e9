"""The kill -9 suite: real processes under load, victims at random moments; then every promise is looked after.

`make torture KILLS=200` runs longer; TORTURE_SEED repeats the killer's choices (not the machine's timing).
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.api.schema import SelectionRequest
from boss.core.reasons import UNTRUSTED_HOST
from tests.acceptance.torture import processes, verification
from tests.acceptance.torture.killer import Killer
from tests.acceptance.torture.load import Load
from tests.acceptance.torture.outside_broker import OutsideBroker
from tests.acceptance.torture.place import Place
from tests.worlds import mariadb, ssh_server

mariadb_server = mariadb.mariadb_server

#: Of each of the two databases.
KILLS = int(os.environ.get("TORTURE_KILLS", "32")) // 2
SEED = int(os.environ.get("TORTURE_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)


@pytest.fixture
def places() -> Iterator[list[Place]]:
    """Deployments of the test: all their processes are ended, however the test ends."""
    made: list[Place] = []
    yield made
    for place in made:
        place.end()


@pytest.mark.timeout(240 + 30 * KILLS)
@pytest.mark.needs("mosquitto")
def test_kills_lose_nothing_and_repeat_nothing_on_sqlite(tmp_path: Path, places: list[Place]) -> None:
    place = Place(tmp_path)
    places.append(place)
    _torture(place)


@pytest.mark.timeout(240 + 30 * KILLS)
@pytest.mark.needs("mosquitto", "mariadb", "sshd", "ssh", "rsync")
def test_kills_lose_nothing_and_repeat_nothing_on_mariadb(
    tmp_path: Path, places: list[Place], mariadb_server: mariadb.MariaDb
) -> None:
    """With a broker of its own that remembers what it was given, and with workers by SSH, as on a server."""
    broker = OutsideBroker(tmp_path / "mosquitto", persistence=True)
    url = mariadb_server.fresh_url("mysql+pymysql")
    place = Place(tmp_path, url, ECLOUD_BROKER_HOST="127.0.0.1", ECLOUD_BROKER_PORT=str(broker.port))
    places.append(place)
    broker.start()
    try:
        with ssh_server.running(user=ssh_server.me()) as server:
            place.reach_by_ssh(server, "local-2", "local-3")
            _torture(place, mariadb_server, broker)
            assert _untrusted(place) == []
    finally:
        broker.end(signal.SIGKILL)


def _torture(place: Place, database: mariadb.MariaDb | None = None, broker: OutsideBroker | None = None) -> None:
    _say(f"seed {SEED}, {KILLS} kills, in {place.directory}")
    draw = random.Random(SEED)
    load, killer = Load(place, draw), Killer(place, draw, database, broker)
    place.start_boss()
    load.push()
    asked_at = 0.0

    def keep_busy() -> None:
        nonlocal asked_at
        if time.monotonic() - asked_at < 0.5:
            return
        asked_at = time.monotonic()
        unfinished = load.unfinished()
        if unfinished is not None and unfinished < load.size // 2:
            load.push()

    try:
        killer.run(KILLS, keep_busy)
        place.wait_for("all tasks are finished", lambda: load.unfinished() == 0, 120)
        if poisoned := _let_poisoned_run_again(place, killer):
            _say(f"run again, as three workers in a row were killed under them: {poisoned}")
            place.wait_for("they are finished, too", lambda: load.unfinished() == 0, 120)
        place.wait_for("the last publish records are gone", lambda: _at_rest(place), 120)
        assert place.end_boss() == 0
        left = processes.wait_until_none(place.mark, 30)
        assert not left, f"processes are left: {left}"
        quiet = place.log.stat().st_size
        found = verification.violations(load, killer.faults) + killer.strays
        assert not found, "\n".join([f"{len(found)} violations:", *found[:20]])
        assert place.log.stat().st_size == quiet, "something still writes"
    finally:
        _say("\n".join(str(fault) for fault in killer.faults))
    _report(place, load, killer)


def _let_poisoned_run_again(place: Place, killer: Killer) -> list[str]:
    """A task under which the killer shot three agents in a row is failed, as promised: no fault, but to be finished."""
    record = verification.read(place.database)
    poisoned = [id for id in record.states if verification.is_poisoned(record, id, killer.faults)]
    if poisoned:
        place.ask_until(lambda client: client.retry(SelectionRequest(tasks=poisoned)))
    return poisoned


def _untrusted(place: Place) -> list[str]:
    """Hosts that are quarantined for what they sent: none of them did anything but die."""
    rows = verification.rows_of(place.database, "SELECT id, quarantined, quarantined_kind FROM workers")
    return [f"{id}: {reason}" for id, reason, kind in rows if kind in UNTRUSTED_HOST]


def _at_rest(place: Place) -> bool:
    """Every acknowledgement has arrived: nothing is kept for it any more."""
    pending = verification.rows_of(place.database, "SELECT task FROM records")
    return not pending and not verification.left_directories(place.home)


def _report(place: Place, load: Load, killer: Killer) -> None:
    lines = place.events()
    starts = sum(line.what == "start" for line in lines)
    resumes = verification.resumes(place.database, place.starts)
    _say(
        f"{len(load.tasks)} tasks in {len(load.batches)} batches, {starts} executions; {killer.kills()} kills, "
        f"{len(killer.faults) - killer.kills()} freezes"
    )
    if resumes:
        middle, longest = statistics.median(resumes), max(resumes)
        _say(f"from a boss's start to the next recorded end: median {middle:.2f} s, at most {longest:.2f} s")


def _say(text: str) -> None:
    """Shown with `-s`, and with a failure."""
    print(text)  # noqa: T201
