"""Comes into every Python program whose PYTHONPATH has this folder, at its start. Tests only.

`CRASH_PLAN` names a file (see `plan.Crash`): the program is killed exactly before or after one call of one of its
functions. That holds for one program (`python -m NAME`), and once: a file beside the plan says that it has happened,
so that the program's next start lives. `WORKER_SETTINGS` gives some workers variables that the boss would not hand on;
`BOSS_TURNS` names a file for the times of the boss's turns. `WRITE_FAULTS` names a file: while it is there, writes of
our programs fail now and then, as it says (see `write_faults`). `LOSE_THREADS` names a folder: a file in it with the
name of a program makes a thread of that program end by an error, and goes.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import sys
import threading
import time


def _is(program: str) -> bool:
    return sys.orig_argv[-2:] == ["-m", program]


def _install(path: str) -> None:
    with open(path, encoding="utf-8") as file:
        plan = json.load(file)
    if not _is(plan["program"]) or os.path.exists(f"{path}.done"):
        return
    module, _, names = plan["target"].partition(":")
    *above, name = names.split(".")
    owner = functools.reduce(getattr, above, importlib.import_module(module))
    setattr(owner, name, _deadly(getattr(owner, name), plan, f"{path}.done"))


def _deadly(function, plan: dict, done: str):
    """The function, until the call in question."""
    lock = threading.Lock()
    left = plan["call"]

    def is_it(arguments: tuple, named: dict) -> bool:
        nonlocal left
        if plan["holds"] and plan["holds"] not in repr((arguments, named)):
            return False
        with lock:
            left -= 1
            return left == 0

    @functools.wraps(function)
    def deadly(*arguments, **named):
        found = is_it(arguments, named)
        if found and not plan["after"]:
            _end(done, plan["linger"])
        result = function(*arguments, **named)
        if found:
            _end(done, plan["linger"])
        return result

    return deadly


def _end(done: str, linger: float) -> None:
    time.sleep(linger)
    with open(done, "x", encoding="utf-8") as file:
        file.write(str(os.getpid()))
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def _time_turns(path: str) -> None:
    """A line for each turn of the boss's loop: how many seconds it took."""
    loop = importlib.import_module("boss.loop").Loop
    plain, notes = loop.turn, open(path, "a", buffering=1, encoding="utf-8")  # noqa: SIM115

    def timed(self, items) -> None:
        began = time.perf_counter()
        plain(self, items)
        notes.write(f"{time.perf_counter() - began:.6f}\n")

    loop.turn = timed


def _lose_thread(path: str) -> None:
    def wait() -> None:
        while True:
            time.sleep(0.05)
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue
            raise RuntimeError("this thread is lost")

    threading.Thread(target=wait, name="to-be-lost", daemon=True).start()


if "CRASH_PLAN" in os.environ:
    _install(os.environ["CRASH_PLAN"])
if "WORKER_SETTINGS" in os.environ and _is("worker"):
    os.environ.update(json.loads(os.environ["WORKER_SETTINGS"]).get(os.environ.get("ECLOUD_WORKER_ID"), {}))
if "BOSS_TURNS" in os.environ and _is("boss"):
    _time_turns(os.environ["BOSS_TURNS"])
if (
    "WRITE_FAULTS" in os.environ
    and sys.orig_argv[-2:-1] == ["-m"]
    and sys.orig_argv[-1]
    in (
        "boss",
        "datastore",
        "worker",
    )
):
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    importlib.import_module("write_faults").install(os.environ["WRITE_FAULTS"], sys.orig_argv[-1])
if "LOSE_THREADS" in os.environ and "-m" in sys.orig_argv:
    for program in ("boss", "datastore", "worker"):
        if sys.orig_argv[sys.orig_argv.index("-m") + 1 :][:1] == [program]:
            _lose_thread(os.path.join(os.environ["LOSE_THREADS"], program))
