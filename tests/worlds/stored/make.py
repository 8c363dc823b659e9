"""Makes what is kept of a release, by its own programs: `make.py CHECKOUT FOLDER`. README.md says what that is.

Run once, by a Python that has the release's packages; what it wrote is never made again. Knows nothing of the release
but its commands, `python -m boss` and /openapi.json.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: The variable that marks every process of the release.
MARK = "STORED_STATE"

SETTINGS = """\
local_workers = 2
slots = 2
heartbeat_seconds = "200ms"
lease_seconds = "2s"

[pools.lab]
provider = "static"
max = 1
thrift = 0.5
cost = 2
hosts = ["ecloud@127.0.0.1:9 SHA256:8rZW0EpXrdZq6wW1f0R4mC5hG1lqkqkq0g4m3J2o8xY"]
"""

#: Hangs at its first attempt only, so that it ends when it is tried again.
LONG = '[ "$ECLOUD_ATTEMPT" -gt 1 ] || sleep 600'

FINISHED = {
    "name": "finished",
    "tasks": [
        {"id": "make", "commands": ["mkdir -p out", "echo 3.42 > out/make.txt"], "results": ["out/make.txt"]},
        {
            "id": "use",
            "commands": "cat out/make.txt; echo second line; cp out/make.txt out/use.txt",
            "dependencies": ["make"],
            "requirements": ["out/make.txt"],
            "results": ["out/use.txt"],
        },
        {"id": "fail", "commands": ["true", "echo on-stderr >&2; exit 3"]},
        {"id": "after the failed one", "commands": "cat ä.txt", "dependencies": ["fail", "make"]},
    ],
}
PAUSED = [
    {"id": "1", "commands": "echo one > one.txt", "results": ["one.txt"]},
    {"id": "2", "commands": ["cat one.txt", "true"], "dependencies": ["1"], "requirements": ["one.txt"]},
]
UNFINISHED = [
    {"id": "long-1", "commands": [LONG, "echo ended > long.txt"], "results": ["long.txt"]},
    {"id": "long-2", "commands": [LONG]},
    {"id": "queued", "commands": ["echo first\necho 'and a second line'", "true"]},
    {"id": "pending", "commands": ["cat long.txt"], "dependencies": ["long-1", "queued"], "requirements": ["long.txt"]},
    {"id": "cancelled", "commands": "false"},
]
#: One id twice, a dependency that is nowhere, a number where a text belongs.
BAD = [
    {"id": "a", "commands": "true", "dependencies": ["b"]},
    {"id": "a", "commands": "true"},
    {"id": "c", "commands": 3},
]
FILES = {
    f"{name}.json": json.dumps(tasks, indent=1)
    for name, tasks in {"finished": FINISHED, "paused": PAUSED, "unfinished": UNFINISHED, "bad": BAD}.items()
}

#: Asked over the state directory, each of a fresh copy of it, as text and with --json.
ASKED = [
    "admin.py status",
    "admin.py show_workers",
    "admin.py show_queued",
    "admin.py show_queued --limit 1 --project leaks",
    "admin.py show_in_progress",
    "admin.py show_succeeded",
    "admin.py show_failed",
    "admin.py show_failed --batch 1",
    "admin.py show_batches",
    "admin.py show_task use",
    "admin.py show_task fail",
    "admin.py show_task long-1",
    "admin.py show_task 2 --project leaks",
    "admin.py show_task nowhere",
    "admin.py show_task_status fail",
    "admin.py show_task_status long-1",
    "admin.py show_task_dependencies pending",
    "admin.py show_task_commands use",
    "admin.py story fail",
    "admin.py events",
    "admin.py events --task fail",
    "admin.py ls",
    "admin.py ls -l",
    "admin.py du",
    "admin.py scaling",
    "admin.py show_context",
    "admin.py settings",
    "admin.py init",
    "admin.py retry_failed",
    "admin.py redo_task use",
    "admin.py cancel --all",
    "admin.py cancel",
    "admin.py drop_tasks failed blocked",
    "admin.py pause_batch 3",
    "admin.py resume_batch 2",
    "admin.py release local-2",
    "admin.py set_datastore 10.0.0.7",
    "admin.py get **",
    "push_tasks.py --check finished.json",
    "push_tasks.py --check paused.json --project leaks",
    "push_tasks.py --check bad.json",
    "push_tasks.py --check nowhere.json",
]
#: Stands for the directory that holds the state directory.
HERE = "/HERE"

#: Run in the checkout: every command with its options, as typer knows them.
COMMANDS = """
import importlib, json, sys, typer.main
sys.path.insert(0, sys.argv[1])
found = {}
for program in ("admin", "push_tasks"):
    group = typer.main.get_command(importlib.import_module(program).app)
    commands = {"": group, **getattr(group, "commands", {})}
    for name, command in commands.items():
        found[f"{program}.py {name}".strip()] = [
            {
                "kind": each.param_type_name,
                "words": [*each.opts, *each.secondary_opts],
                "required": each.required,
                "many": getattr(each, "multiple", False) or each.nargs != 1,
                "flag": getattr(each, "is_flag", False),
            }
            for each in command.params
        ]
json.dump(found, sys.stdout)
"""


class Release:
    """Its programs, as a user types them in a directory."""

    def __init__(self, checkout: Path, directory: Path) -> None:
        self.checkout, self.directory = checkout, directory
        self.home = directory / ".ecloud"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ECLOUD_")}
        self.environment = {**kept, "TZ": "UTC", "ECLOUD_HOME": str(self.home), MARK: str(directory)}
        for name, text in FILES.items():
            (directory / name).write_text(text)

    def ask(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(self.checkout / program), *arguments]
        return subprocess.run(command, cwd=self.directory, env=self.environment, capture_output=True, text=True)

    def run(self, program: str, *arguments: str, code: int = 0) -> str:
        done = self.ask(program, *arguments)
        assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def admin(self, *arguments: str) -> Any:
        """What it says with --json."""
        return json.loads(self.run("admin.py", *arguments, "--json"))

    def push(self, name: str, *options: str, code: int = 0) -> None:
        self.run("push_tasks.py", *options, f"{name}.json", code=code)

    @contextmanager
    def boss(self) -> Iterator[None]:
        """It runs meanwhile; then it and all that it started are killed at once, as by a power failure."""
        logs = self.home / "logs"
        logs.mkdir(exist_ok=True)
        command = [sys.executable, "-P", "-m", "boss"]
        environment = {**self.environment, "PYTHONPATH": str(self.checkout)}
        with open(logs / "boss.log", "a") as log:
            process = subprocess.Popen(command, cwd=self.directory, env=environment, stdout=log, stderr=log)
        try:
            wait_for((self.home / "boss.json").exists, "a boss")
            yield
        finally:
            while pids := [pid for pid in _pids() if f"{MARK}={self.directory}".encode() in _environment(pid)]:
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
                process.poll()
                time.sleep(0.1)


def _pids() -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if pid != os.getpid()]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []  # it ended meanwhile


def wait_for(condition: Callable[[], object], what: str) -> None:
    until = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < until, f"waited in vain: {what}"
        time.sleep(0.2)


# --- what is kept ------------------------------------------------------------------------------------


def make_state(release: Release, folder: Path) -> None:
    release.home.mkdir(mode=0o700)
    (release.home / "settings.toml").write_text(SETTINGS)
    release.admin("init")
    with release.boss():
        _work(release)
        _write(folder / "openapi.json", _openapi(release))
    with tarfile.open(folder / "state.tar.xz", "w:xz", preset=9) as tar:
        for name in (".ecloud", "ecloud-data"):
            tar.add(release.directory / name, name, filter=_kept)


def _work(release: Release) -> None:
    def online() -> bool:
        return [worker["state"] for worker in release.admin("show_workers")] == ["online", "online"]

    wait_for(online, "two workers")
    release.push("finished", code=1)
    release.admin("login", "elsewhere")
    release.admin("quarantine", "local-2", "its disk makes noises")
    release.admin("drain", "local-1")
    release.push("paused", "--detach", "--project", "leaks", "--name", "the paused one")
    wait_for(lambda: release.admin("scaling", "--pool", "lab")[0]["failures"], "the lab cannot be reached")
    release.admin("pause_batch", "2", "the network is needed")
    release.admin("resume", "local-1")
    release.push("unfinished", "--detach")
    release.admin("cancel", "cancelled")
    wait_for(lambda: len(release.admin("show_in_progress")) == 2, "two tasks that run")
    wait_for(lambda: release.admin("show_batches")[2]["counts"]["cancelled"], "the task is cancelled")


def _openapi(release: Release) -> object:
    url = json.loads((release.home / "boss.json").read_text())["url"]
    token = (release.home / "logins" / "http_token").read_text().strip()
    request = urllib.request.Request(f"{url}/openapi.json", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def _kept(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """As nobody's file; no bundles, which are large and can be built again, and nothing but files."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info if (info.isdir() or info.isfile()) and not info.name.endswith("/bundles") else None


def make_outputs(checkout: Path, folder: Path) -> None:
    """What each command says, and how it ends."""
    said = {}
    for line in ASKED:
        program, *arguments = line.split()
        said[line] = {"text": _said(checkout, folder, program, arguments)}
        said[line]["json"] = _said(checkout, folder, program, [*arguments, "--json"])
    command = [sys.executable, "-c", COMMANDS, str(checkout)]
    options = json.loads(subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True).stdout)
    _write(folder / "commands.json", {"files": FILES, "said": said, "options": options})


def _said(checkout: Path, folder: Path, program: str, arguments: list[str]) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        with tarfile.open(folder / "state.tar.xz") as tar:
            tar.extractall(directory, filter="data")
        release = Release(checkout, directory)
        if "get" in arguments:
            arguments = [*arguments, str(directory / "here")]
        done = release.ask(program, *arguments)
        return {
            "stdout": done.stdout.replace(place, HERE).splitlines(),
            "stderr": done.stderr.replace(place, HERE).splitlines(),
            "exit": done.returncode,
        }


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def make_worker(checkout: Path, folder: Path) -> None:
    """What machines of its workers run."""
    with tarfile.open(folder / "worker.tar.xz", "w:xz", preset=9) as tar:
        for name in ("wire", "worker", "ecloud.py"):
            tar.add(checkout / name, name, filter=_source)


def _source(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in info.name else _kept(info)


def main() -> None:
    checkout, folder = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    make_state(Release(checkout, Path(tempfile.mkdtemp(prefix="stored-"))), folder)
    make_outputs(checkout, folder)
    make_worker(checkout, folder)


if __name__ == "__main__":
    main()
