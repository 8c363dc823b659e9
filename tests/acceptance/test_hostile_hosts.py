"""Worker hosts that an attacker rules: whatever they send, nothing escapes, nothing wrong is published, they are set
aside, and transfers of other workers go on.

First what the datastore's program makes of each trick, then whole deployments whose hosts lie.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from boss.client.client import Client
from tests.acceptance.data_world import DataWorld, WorkerHost, data_world, links, mosquitto
from tests.worlds.digests import digest
from tests.worlds.hosts import PYTHON, Host, network
from tests.worlds.hosts.cluster import TREE, Cluster
from tests.worlds.looking import task_named
from tests.worlds.ssh_server import descendants
from tests.worlds.waiting import wait_for
from wire.messages import Abandon, Abandoned, Collect, CollectFile, Published

__all__ = ["data_world", "links", "mosquitto"]
pytestmark = [pytest.mark.needs("mosquitto", "sshd", "ssh", "rsync"), pytest.mark.timeout(120)]

QUICK = {"ECLOUD_TRANSFER_RETRY_SECONDS": "0.3", "ECLOUD_TRANSFER_DISK_RETRY_SECONDS": "0.5"}
HOSTILE = Path(__file__).parent / "hostile" / "rsync.py"
SAID = b"what the manifest said"
#: What is to be written outside of the tree; no other file of this machine has that name.
ESCAPED = f"escaped-{secrets.token_hex(4)}"


def interpreter() -> str:
    """A Python that an unprivileged user can start."""
    for path in (Path(sys.executable).resolve(), Path("/usr/bin/python3")):
        if path.exists() and all(parent.stat().st_mode & 0o001 for parent in path.parents):
            return str(path)
    raise AssertionError("no Python that everybody may start: sudo apt-get install python3")


def hostile(data_world: DataWorld, name: str, *words: str) -> WorkerHost:
    """A host whose rsync does that."""
    folder = Path(tempfile.mkdtemp(prefix="ecloud-hostile-"))
    data_world.ending.callback(shutil.rmtree, folder)
    folder.chmod(0o755)
    (folder / "rsync").write_text(f"#!{interpreter()} -S\n{HOSTILE.read_text()}")
    (folder / "rsync").chmod(0o755)
    return data_world.host(name, f'SetEnv "PATH={folder}:/usr/local/bin:/usr/bin:/bin" "HOSTILE={",".join(words)}"')


# -- what lies where a result should ------------------------------------------------------------------


def put_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def put_device(path: Path) -> None:
    os.mknod(path, 0o666 | 0o020000, os.makedev(1, 5))


def put_folder(path: Path) -> None:
    path.mkdir()
    (path / "deep").write_bytes(SAID)


THINGS: dict[str, Callable[[Path], object]] = {
    "a link to a file of the system": put_link,
    "a link to nothing": lambda path: path.symlink_to("/nowhere"),
    "a link out of the tree": lambda path: path.symlink_to("../" * 12 + "etc/passwd"),
    "a pipe": os.mkfifo,
    "a folder": put_folder,
    **({"a device without an end": put_device} if os.geteuid() == 0 else {}),
}


def test_what_is_no_file_is_not_taken_and_neither_followed_nor_made_nor_waited_for(data_world: DataWorld) -> None:
    data_world.start(**QUICK)
    honest = data_world.host("honest")
    passwd = Path("/etc/passwd").read_bytes()
    tasks: dict[str, int] = {}
    for number, (what, put) in enumerate(THINGS.items()):
        host = data_world.host(f"w{number}")
        key = data_world.new_key()
        path = host.work(key) / "out"
        put(path)
        said = passwd if "link" in what else SAID
        data_world.order_collect(host, key, {"out": said})
        tasks[what] = key[0]
    fine = data_world.collect(honest, {"out": b"fine"})
    assert isinstance(data_world.answer(fine), Published)
    ends = {what: data_world.answer(task) for what, task in tasks.items()}
    for what, end in ends.items():
        assert isinstance(end, Abandoned) and end.fault == "host" and "/work/out'" in end.reason, (what, end)
    assert data_world.visible() == {f"out/{fine}/out"}
    assert_clean(data_world)


# -- what a manifest says -----------------------------------------------------------------------------


def test_a_manifest_that_lies_about_size_or_digest_publishes_nothing(data_world: DataWorld) -> None:
    data_world.start(**QUICK)
    lies = {
        "a smaller size": (b"x" * 10_000_000, b"x" * 10),
        "a larger size": (b"x" * 10, b"x" * 10_000),
        "another digest": (b"evil" * 1000, b"good" * 1000),
        "nothing there": (b"", b"something"),
    }
    tasks = {}
    for number, (what, (is_there, said)) in enumerate(lies.items()):
        host = data_world.host(f"w{number}")
        tasks[what] = data_world.collect(host, {"out": is_there, "other": b"true"}, out=said)
    fine = data_world.collect(data_world.host("honest"), {"out": b"fine"})
    assert isinstance(data_world.answer(fine), Published)
    for what, task in tasks.items():
        end = data_world.answer(task)
        assert isinstance(end, Abandoned) and end.fault == "result" and "'out'" in end.reason, (what, end)
    assert data_world.visible() == {f"out/{fine}/out"}
    assert_clean(data_world)


#: (path in the working directory, name in the tree), one of them of the kind that must not be.
NAMES = [
    (f"../../../../{ESCAPED}", "fine"),
    ("/etc/passwd", "fine"),
    ("a/../../../2.1/work/out", "fine"),
    ("", "fine"),
    ("out", f"../{ESCAPED}"),
    ("out", f"/tmp/{ESCAPED}"),
    ("out", ".ecloud/index.sqlite"),
    ("out", "a\0b"),
]


def test_names_that_leave_their_place_are_refused_before_anything_moves(data_world: DataWorld) -> None:
    data_world.start(**QUICK)
    host = data_world.host("w1")
    for source, target in NAMES:
        key = data_world.new_key()
        host.leave(key, "out", SAID)
        entry = CollectFile(source=source, target=target, size=len(SAID), digest=digest(SAID))
        data_world.world.order(Collect(task=key[0], attempt=1, worker=host.name, place=host.place, files=[entry]))
        end = data_world.answer(key[0])
        assert isinstance(end, Abandoned) and end.fault == "path", (source, target, end)
    assert host.server.logins() == 0
    assert data_world.visible() == set()
    assert_clean(data_world)


# -- another rsync ------------------------------------------------------------------------------------

LONG = "result-with-a-name-of-some-length"


def same_length(name: str) -> str:
    assert len(name) <= len(LONG)
    return name + "x" * (len(LONG) - len(name))


TRICKS: dict[str, tuple[str, ...]] = {
    "sends another file of the attempt": ("asks", LONG, same_length("other-")),
    "calls it by a name above the tree": ("renames", LONG, same_length(f"../../../../{ESCAPED}")),
    "calls it by an absolute name": ("renames", LONG, same_length(f"//tmp/{ESCAPED}")),
    "calls it by a name of the datastore's": ("renames", LONG, same_length("../../../index.sqlite")),
    "sends more than was said, of a file that grew": ("grows", LONG, str(3_000_000_000)),
    "sends noise for ever": ("junk",),
}


def test_no_trick_of_another_rsync_gets_anything_out_of_its_place_or_published(data_world: DataWorld) -> None:
    data_world.start(**QUICK)
    tasks: dict[str, int] = {}
    for number, (what, words) in enumerate(TRICKS.items()):
        key = data_world.new_key()
        host = hostile(data_world, f"w{number}", *words)
        host.leave(key, LONG, SAID)
        host.leave(key, same_length("other-"), SAID)
        data_world.order_collect(host, key, {LONG: SAID})
        tasks[what] = key[0]
    honest = data_world.host("honest")
    fine = [data_world.collect(honest, {"out": b"fine"}) for _ in range(20)]
    for task in fine:
        assert isinstance(data_world.answer(task), Published)
    ends = {what: data_world.answer(task) for what, task in tasks.items()}
    for what, end in ends.items():
        fault = "transfer" if "noise" in what else "host"  # noise tells nothing of who makes it
        assert isinstance(end, Abandoned) and end.fault == fault, (what, end)
    assert data_world.visible() == {f"out/{task}/out" for task in fine}
    assert_clean(data_world)


@pytest.mark.parametrize("words", ["drips", "silent"])
def test_a_host_that_only_keeps_us_waiting_holds_up_no_other_and_is_given_up_when_it_is_not_wanted(
    data_world: DataWorld, words: str
) -> None:
    data_world.start(**QUICK, ECLOUD_TRANSFERS_AT_ONCE="2")
    slow, honest = hostile(data_world, "w1", words), data_world.host("honest")
    waits = data_world.collect(slow, {LONG: SAID})
    wait_for(lambda: slow.server.logins() > 0, "it is asked")
    for _ in range(5):
        assert isinstance(data_world.answer(data_world.collect(honest, {"out": b"fine"})), Published)
    data_world.world.order(Abandon(task=waits, attempt=1))
    end = data_world.answer(waits)
    assert isinstance(end, Abandoned) and end.fault == "asked"
    wait_for(lambda: not transfers(data_world), "the datastore has ended its rsync")


def transfers(data_world: DataWorld) -> list[Path]:
    """What the datastore's program has started and still runs."""
    lines = [Path(f"/proc/{pid}/cmdline") for pid in descendants(data_world.world.programs[-1].pid)]
    return [line for line in lines if line.exists() and line.read_bytes().startswith(b"rsync")]


def assert_clean(data_world: DataWorld) -> None:
    """Nothing anywhere but in the tree; nothing kept of what was refused."""
    tree = data_world.world.tree
    above = [folder.glob(f"{ESCAPED}*") for folder in (Path("/tmp"), *tree.parents)]
    assert not [path for found in (*above, data_world.world.directory.rglob(f"{ESCAPED}*")) for path in found]
    kinds = {path for path in tree.rglob("*") if path.is_symlink() or not (path.is_dir() or path.is_file())}
    assert kinds == set()
    total = sum(path.stat().st_size for path in (tree / ".ecloud").rglob("*") if path.is_file())
    assert total < 50_000_000


# -- whole deployments --------------------------------------------------------------------------------

#: Host -> what it does, and what the reason why it was quarantined must say.
LIARS = {
    "w1": (("asks", LONG, same_length("other-")), "not asked for"),
    "w2": (("renames", LONG, same_length(f"../../../../{ESCAPED}")), "not asked for"),
    "w3": (("grows", LONG, "3000000000"), "more bytes than were said"),
    "w4": (("links", LONG), "a link, a device or a pipe"),
    "w5": (("lies", LONG), "the worker said"),
}
#: It is made again at its address, with another key, after it was seen once.
REPLACED = "w6"
HONEST = "w7"
#: Its mains are cut while its results are fetched.
GONE = "w8"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with network() as net:
        made = Cluster(net, workers=8, slots=2, probe_seconds=0, heartbeat_seconds=0.5, lease_seconds=6)
        for host in made.workers:
            if host.name in LIARS:
                become_hostile(host, *LIARS[host.name][0])
        made.start(datastore={"retry_seconds": "0.2", "disk_retry_seconds": "1"})
        yield made


def become_hostile(host: Host, *words: str) -> None:
    host.write("/usr/local/lib/hostile.py", HOSTILE.read_text())
    line = f"HOSTILE={','.join(words)} exec {PYTHON} -S /usr/local/lib/hostile.py"
    host.write("/usr/local/bin/rsync", f'#!/bin/sh\n{line} "$@"\n', 0o755)


def replace_host_key(host: Host) -> None:
    """As a machine that was made again; nothing that goes on over a former connection is left."""
    key = "/etc/ssh/ssh_host_ed25519_key"
    make = f"rm {key} {key}.pub; ssh-keygen -q -t ed25519 -N '' -f {key}"
    restart = f"{make}; kill $(cat /run/sshd.pid); /usr/sbin/sshd -E /var/log/sshd.log"
    host.run(["sh", "-c", restart], user="root")


@pytest.mark.needs("unshare", "nsenter", "setpriv", "ip")
@pytest.mark.timeout(240)
def test_hosts_that_lie_are_quarantined_and_all_tasks_succeed_on_those_that_do_not(cluster: Cluster) -> None:
    replace_host_key(next(host for host in cluster.workers if host.name == REPLACED))
    tasks = [
        {
            "id": f"t{number}",
            "commands": [f"sleep 0.1; printf 'of {number}' > {LONG}; printf x > {same_length('other-')}"],
            "results": [[LONG, f"out/{number}"]],
        }
        for number in range(60)
    ]
    said = cluster.push(cluster.write("tasks.json", tasks))
    assert "60 of 60 tasks succeeded" in said, said
    workers = {worker["id"]: worker for worker in cluster.asked("show_workers")}
    for name, (_, why) in LIARS.items():
        assert why in workers[name]["quarantined"], (name, workers[name])
    assert "host key" in workers[REPLACED]["quarantined"], workers[REPLACED]
    assert not workers[HONEST]["quarantined"] and not workers[GONE]["quarantined"]
    tree = cluster.datastore.path(TREE)
    assert {path.name: path.read_text() for path in (tree / "out").iterdir()} == {
        str(number): f"of {number}" for number in range(60)
    }
    assert {path.name for path in tree.iterdir()} == {".ecloud", "out"}
    for program in ("boss", "datastore"):
        assert "Traceback" not in cluster.programs[program].output()
    for host in (cluster.datastore, cluster.boss):
        assert host.find(f"*{ESCAPED}*") == []


def warnings(cluster: Cluster) -> str:
    return " ".join(cluster.look(Client.status)["warnings"])


def kept_on_workers(cluster: Cluster, tasks: list[dict[str, Any]]) -> list[str]:
    """Those whose results wait to be collected; empty while others still wait to run or run."""
    shown = [cluster.look(task_named(task["id"])) for task in tasks]
    unfinished = [one for one in shown if one["task"]["state"] != "succeeded"]
    have_run = all(one["attempts"] and one["attempts"][-1]["phase"] == "collecting" for one in unfinished)
    return [one["task"]["id"] for one in unfinished if one["task"]["state"] == "running"] if have_run else []


@pytest.mark.needs("unshare", "nsenter", "setpriv", "ip")
@pytest.mark.timeout(240)
def test_a_full_datastore_keeps_results_on_their_workers_says_why_and_goes_on_when_there_is_room(
    cluster: Cluster,
) -> None:
    cluster.datastore.run(["mount", "-o", "remount,size=40m", "/home"], user="root")
    tasks = [
        {"id": f"big{number}", "commands": ["head -c 9000000 /dev/urandom > r; md5sum < r > sum"]}
        | {"results": [["r", f"big/{number}"], ["sum", f"big/{number}.sum"]]}
        for number in range(6)
    ]
    little = {"id": "little", "commands": ["echo x > r"], "results": [["r", "little"]]}
    cluster.push(cluster.write("big.json", tasks), "--detach")
    cluster.wait(lambda: "disk is full" in warnings(cluster), "status says it")
    cluster.push(cluster.write("little.json", [little]))
    assert "disk is full" in cluster.admin("status") and "needed" in cluster.admin("status")
    waiting = cluster.wait(lambda: kept_on_workers(cluster, tasks), "all have run, and those that do not fit wait")
    cluster.datastore.run(["mount", "-o", "remount,size=200m", "/home"], user="root")
    assert "6 of 6 tasks succeeded" in cluster.push("big.json")
    tree = cluster.datastore.path(TREE)
    for number in range(6):
        content = (tree / "big" / str(number)).read_bytes()
        assert hashlib.md5(content).hexdigest() in (tree / "big" / f"{number}.sum").read_text()
    cluster.wait(lambda: "disk is full" not in warnings(cluster), "status does not say it any more")
    attempts = cluster.asked("show_task", waiting[0])["attempts"]
    begun = [attempt["ended"] for attempt in attempts if attempt["ended"] != "returned"]  # to another worker, not begun
    assert begun == ["succeeded"], "it was run again"


@pytest.mark.needs("unshare", "nsenter", "setpriv", "ip", "tc")
@pytest.mark.timeout(240)
def test_tasks_whose_worker_goes_while_its_results_are_fetched_are_done_by_another(cluster: Cluster) -> None:
    gone = next(host for host in cluster.workers if host.name == GONE)
    cluster.net.limit(gone, 2)
    tasks = [
        {"id": f"far{number}", "commands": ["head -c 2000000 /dev/urandom > r"], "results": [["r", f"far/{number}"]]}
        for number in range(24)  # more than all the others take at once
    ]
    path = cluster.write("far.json", tasks)
    cluster.push(path, "--detach")
    incoming = cluster.datastore.path(TREE) / ".ecloud" / "incoming"
    cluster.wait(lambda: list(incoming.glob(f"*/from-{GONE}/**/.r.*")), "its results are being fetched")
    gone.power_off()
    assert "24 of 24 tasks succeeded" in cluster.push(path)
    assert {file.stat().st_size for file in (cluster.datastore.path(TREE) / "far").iterdir()} == {2_000_000}
    cluster.wait(lambda: not list(incoming.glob(f"*/from-{GONE}")), "nothing is left of what it sent")
