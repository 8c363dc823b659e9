"""A whole deployment whose tasks all end in the same second: what happens at the sshd, and to the boss's turns."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.system import ROOT, Kind, System
from benchmarks.system import running as running_system
from boss.bootstrap.ssh_keys import ensure_keys
from boss.intake.reader import PushOptions, encode_stream, read_file
from tests.worlds import ssh_server
from tests.worlds.inside.plan import FOLDER
from tests.worlds.ssh_server import SshServer

_TIMEOUT_SECONDS = 900.0
LIMIT = 4


@dataclass(frozen=True)
class Found:
    #: From the moment in which the tasks may end to the record of the last success.
    seconds: float
    logins: int
    #: Connections and sessions that did not come about, by the sshd's log.
    failed: int
    transfers: int
    #: Transfers at once, and how many there may be.
    peak: int
    limit: int
    #: Seconds that each turn of the boss took meanwhile, sorted.
    turns: list[float]

    def turn(self, share: float) -> float:
        return self.turns[min(len(self.turns) - 1, int(share * len(self.turns)))] if self.turns else 0.0


def same_second(tasks: int, hosts: int) -> Found:
    """Tasks that wait for a pipe to be opened, on workers behind a real sshd."""
    with ssh_server.running(user=ssh_server.me()) as server:
        names = [f"local-{number}" for number in range(1, hosts + 1)]
        with running_system(Kind(), started=False, **_settings(server, names, tasks)) as system:
            _, key = ensure_keys(system.home)
            with open(server.own / "authorized", "a", encoding="ascii") as authorized:
                authorized.write(f"{key.public}\n")
            notes = system.home.parent / "turns"
            system.environment["BOSS_TURNS"] = str(notes)
            system.start()
            seconds, turns = _run(system, tasks, notes)
        transfers, peak = _sessions(server.log())
        logins = server.logins()
        return Found(seconds, logins, _failed(server.log()), transfers, peak, LIMIT, turns)


def _settings(server: SshServer, names: list[str], tasks: int) -> dict[str, str]:
    variables = {
        "ECLOUD_WORKER_PLACE": "ssh",
        "ECLOUD_WORKER_ADDRESS": server.host,
        "ECLOUD_WORKER_SSH_PORT": str(server.port),
        "ECLOUD_WORKER_SSH_HOST_KEYS": f"{server.host_key_file}.pub",
    }
    return {
        "WORKER_SETTINGS": json.dumps(dict.fromkeys(names, variables)),
        "ECLOUD_LOCAL_WORKERS": str(len(names)),
        "ECLOUD_SLOTS": str(-(-tasks // len(names))),
        "ECLOUD_TRANSFERS_AT_ONCE": str(LIMIT),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{FOLDER}",
    }


def _run(system: System, tasks: int, notes: Path) -> tuple[float, list[float]]:
    gate = system.home.parent / "gate"
    os.mkfifo(gate)
    path = system.home.parent / "tasks.json"
    command = f"read word < {gate}; echo $ECLOUD_TASK_ID > result"
    described = [{"id": f"t{n}", "commands": [command], "results": [["result", f"out/t{n}"]]} for n in range(tasks)]
    path.write_text(json.dumps(described))
    client = system.client
    number = client.submit(encode_stream(read_file(path, PushOptions())), detach=True).batch
    until = time.monotonic() + _TIMEOUT_SECONDS
    while client.batch(number).counts.running < tasks:
        if time.monotonic() > until:
            raise RuntimeError(f"not all tasks began: {client.batch(number).counts}")
        time.sleep(0.2)  # before what is measured begins
    before = len(notes.read_text().splitlines())
    began = time.time()
    with open(os.open(gate, os.O_RDWR), "wb", buffering=0) as opened:
        opened.write(b"open\n" * tasks)
        while not (answer := client.batch(number, wait=20.0)).finished:
            if time.monotonic() > until:
                raise RuntimeError(f"not all tasks ended: {answer.counts}")
    if answer.counts.succeeded != tasks:
        raise RuntimeError(f"not all tasks succeeded: {answer.counts}")
    turns = sorted(map(float, notes.read_text().splitlines()[before:]))
    return answer.finished_at - began, turns


def _failed(log: str) -> int:
    said = r"MaxStartups|drop connection|(closed|reset|isconnected) .*\[preauth\]|^Failed|rror:|no more sessions"
    return sum(re.search(said, line) is not None for line in log.splitlines())


def _sessions(log: str) -> tuple[int, int]:
    """How many commands were run, and how many at once at most: the log has them in their order."""
    now = peak = count = 0
    for line in log.splitlines():
        if line.startswith("Starting session: command"):
            count += 1
            now += 1
            peak = max(peak, now)
        elif line.startswith("Close session"):
            now -= 1
    return count, peak
