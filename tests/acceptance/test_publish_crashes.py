"""Each step between a result's last byte and its acknowledgement, with the program that is at it killed right there.

A real deployment for every row: two tasks, the second reads what the first made. Whatever dies where, at the end each
result is in the tree once and whole, each task succeeded once, nothing is left over, and nothing ran twice unless
what it did was lost with the program.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from boss.api.schema import SubmitAnswer
from boss.client.client import Client
from boss.client.upload import Sendable, send_files
from boss.core.model import TaskState
from boss.intake.reader import PushOptions, encode_stream, read_file
from tests.acceptance.torture import processes, verification
from tests.acceptance.torture.place import Place
from tests.worlds import ssh_server
from tests.worlds.inside.crashes import CRASHES
from tests.worlds.inside.plan import FOLDER, Crash, happened

pytestmark = [pytest.mark.needs("mosquitto", "sshd", "ssh", "rsync"), pytest.mark.timeout(180)]

AT_ONCE = 4


SEED = "seed of all\n"
FIRST = """cat seed > one
echo "first $ECLOUD_ATTEMPT" >> one
mkdir -p deep/er many/inner many/nothing
seq 20000 > deep/er/two
seq 3 > many/inner/three
: > many/empty
: > empty"""
SECOND = "cat one two many/inner/three > three"
_SUCCEEDED = "SELECT count(*) FROM task_states WHERE state = ?"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[list[str]]]]:
    """All rows, a few deployments at a time: most of each is waiting."""
    with ssh_server.running(user=ssh_server.me()) as server, ThreadPoolExecutor(AT_ONCE) as pool:

        def start(crash: Crash) -> Future[list[str]]:
            return pool.submit(_run, tmp_path_factory.mktemp("crash"), crash, server)

        yield {crash.says: start(crash) for crash in CRASHES}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("crash", CRASHES, ids=lambda crash: f"{crash.program}: {crash.says}")
def test_results_are_published_once_whatever_dies_when(crash: Crash, runs: dict[str, Future[list[str]]]) -> None:
    found = runs[crash.says].result()
    assert not found, "\n".join(found)


def _run(directory: Path, crash: Crash, server: ssh_server.SshServer) -> list[str]:
    """What is wrong after a deployment in which this happened."""
    plan = directory / "plan.json"
    crash.write(plan)
    place = Place(directory, workers=1, slots=1, CRASH_PLAN=str(plan))
    place.python_path.append(FOLDER)
    if crash.by_ssh:
        place.reach_by_ssh(server, "local-1")
    try:
        return _play(place, crash, plan)
    except BaseException as error:
        return [f"{type(error).__name__}: {error}"]
    finally:
        place.end()


def _play(place: Place, crash: Crash, plan: Path) -> list[str]:
    def wait_for(what: str, condition: Callable[[], object]) -> None:
        place.wait_for(f"{what} (after {crash.program} was to be killed when {crash.says})", condition, 40)

    place.start_boss()
    _push(place)
    if crash.program == "boss":
        place.let_boss_be_shot()
        wait_for("it is killed", lambda: happened(plan) and place.boss_ended() is not None)
        place.start_boss()
    wait_for("both tasks have succeeded", lambda: _count(place, _SUCCEEDED, TaskState.SUCCEEDED) == 2)
    wait_for("it was killed", lambda: happened(plan))
    wait_for("nothing is kept for an acknowledgement", lambda: not _kept(place))
    assert place.end_boss() == 0
    left = processes.wait_until_none(place.mark, 30)
    return [*(f"{process} is left" for process in left), *_violations(place, crash)]


def _push(place: Place) -> None:
    tasks = [
        {
            "id": "first",
            "commands": [f"echo first >> {place.log}\n{FIRST}"],
            "requirements": ["seed"],
            "results": [["one", "out/one"], ["deep/er/two", "out/deep/er/two"], "empty", ["many", "out/many"]],
        },
        {
            "id": "second",
            "commands": [f"echo second >> {place.log}\n{SECOND}"],
            "requirements": [["out/one", "one"], ["out/deep/er/two", "two"], "empty", ["out/many", "many"]],
            "results": ["three"],
        },
    ]
    (place.directory / "seed").write_text(SEED)
    # What stands where the directory is to go: it is replaced whole.
    (place.tree / "out/many").mkdir(parents=True)
    (place.tree / "out/many/former").write_text("former\n")
    path = place.directory / "tasks.json"
    path.write_text(json.dumps(tasks))
    file = read_file(path, PushOptions())

    def submit(client: Client) -> SubmitAnswer:
        files = [Sendable(one.path, one.sent.digest, one.sent.size) for one in file.files]
        send_files(client, files, lambda done, total: None)
        return client.submit(encode_stream(file), detach=True)

    place.ask_until(submit)


def _kept(place: Place) -> bool:
    return bool(_count(place, "SELECT count(*) FROM records") or verification.left_directories(place.home))


def _count(place: Place, query: str, *values: int) -> int:
    """Read from the boss's file: asking the boss so often would be a load of its own."""
    with contextlib.closing(sqlite3.connect(place.home / "ecloud.sqlite")) as database:
        (count,) = database.execute(query, values).fetchone()
    return int(count)


# --- what must hold -------------------------------------------------------------------------------------


def _violations(place: Place, crash: Crash) -> list[str]:
    record = verification.read(place.database)
    ended = {id: [one.ended for one in attempts] for id, attempts in record.attempts.items()}
    succeeded = record.succeeded()
    expected = _expected(succeeded["first"])
    owners = {"three": "second"}
    names = expected.keys() - {"seed"} | {"out/many"}
    wanted = [(name, owners.get(name, "first"), succeeded[owners.get(name, "first")]) for name in names]
    runs = place.log.read_text().split()
    found = []
    if set(record.states.values()) != {TaskState.SUCCEEDED} or [each.count("succeeded") for each in ended.values()] != [
        1,
        1,
    ]:
        found.append(f"not every task succeeded exactly once: {record.states}, {ended}")
    if sorted(record.results) != sorted(wanted):
        found.append(f"the results in the database are {record.results}, not {wanted}")
    if runs.count("first") != 1 + crash.again or runs.count("second") > 1 + (crash.program == "worker"):
        found.append(f"these ran: {runs}")
    return found + _in_tree(place.tree, expected)


def _expected(attempt: int) -> dict[str, str]:
    one, two, three = f"{SEED}first {attempt}\n", "".join(f"{number}\n" for number in range(1, 20001)), "1\n2\n3\n"
    folder = {"out/many/inner/three": three, "out/many/empty": ""}
    return {"seed": SEED, "out/one": one, "out/deep/er/two": two, "empty": "", **folder, "three": one + two + three}


def _in_tree(tree: Path, expected: dict[str, str]) -> list[str]:
    own = tree / ".ecloud"
    there = {str(path.relative_to(tree)): path.read_text() for path in _files(tree) if own not in path.parents}
    found = [
        f"result {name} is missing or not what the task made" for name in expected if there.get(name) != expected[name]
    ]
    if not (tree / "out/many/nothing").is_dir():
        found.append("the empty folder of the directory is missing")
    found += [f"no task made {name}" for name in there.keys() - expected.keys()]
    found += [f"{path} is left" for path in _files(own / "incoming")]
    with contextlib.closing(sqlite3.connect(own / "index.sqlite")) as index:
        found += [f"a publish record is left: {row}" for row in index.execute("SELECT task, attempt FROM records")]
    return found


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
