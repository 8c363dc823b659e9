"""The machine itself: its clock, the home and the room on its disk, EPANET, and the agent that should run."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from wire.messages import VERSION
from worker.debug.finding import Finding
from worker.epanet.errors import EngineError, MachineError
from worker.epanet.library import ENGINE_VERSION, load
from worker.options import WorkerOptions

#: A clock that is off by more makes certificates fail and logs useless.
SKEW_SECONDS = 5.0
#: Before this the clock was never set.
EARLIEST = 1_735_689_600.0  # 2025
MIN_FREE_BYTES = 100 * 10**6
MIN_FREE_FILES = 1000


def check_machine(
    options: WorkerOptions, here: float, boss_time: float | None, boss_version: int | None, boss_bundles: str = ""
) -> Iterator[Finding]:
    """`here`: this machine's time when the boss's was `boss_time`; `boss_version`: of the messages that it speaks;
    `boss_bundles`: what workers are to run from, as ECLOUD_BUNDLES has it."""
    yield _clock(here, boss_time)
    yield _home(options.home)
    yield _room(options.home)
    yield _epanet()
    yield _agent(options.home, expected=boss_version is not None)
    if boss_version is not None or options.bundle:
        yield _version(boss_version, options.bundle, dict(item.split("=", 1) for item in boss_bundles.split()))


def _clock(here: float, boss_time: float | None) -> Finding:
    remedy = "set it, and keep it set: apt-get install chrony, or timedatectl set-ntp true"
    if here < EARLIEST:
        return Finding("clock", "FAILED", "it was never set", remedy, "date -u")
    if boss_time is None:
        return Finding("clock", "ok", "set; compared with the boss's only by admin.py debug_worker", did="date -u")
    skew = here - boss_time
    sentence = f"{abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the boss's"
    if abs(skew) > SKEW_SECONDS:
        return Finding("clock", "FAILED", sentence, f"{remedy}; here and on the boss's machine", "date -u")
    return Finding("clock", "ok", sentence, did="date -u")


def _home(home: Path) -> Finding:
    name, did = f"home {home} is writable", f"mkdir -p {home}; touch {home}/.try"
    trial = home / f".try.{os.getpid()}"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        remedy = "give it to the agent's user, or name another directory with ECLOUD_WORKER_HOME"
        return Finding(name, "FAILED", str(error.strerror), remedy, did)
    return Finding(name, "ok", did=did)


def _room(home: Path) -> Finding:
    name, did = "room on its disk", f"df -h {home}; df -i {home}"
    try:
        free = shutil.disk_usage(home).free
        nodes = os.statvfs(home)
    except OSError as error:
        return Finding(name, "FAILED", str(error.strerror), "make the home first", did)
    sentence = f"{free / 1e9:.1f} GB free"
    if free < MIN_FREE_BYTES:
        return Finding(name, "FAILED", sentence, "make room, or name a home on another disk (ECLOUD_WORKER_HOME)", did)
    if nodes.f_files and nodes.f_favail < MIN_FREE_FILES:  # 0: a file system that does not count them
        return Finding(name, "FAILED", f"room for {nodes.f_favail} more files only", "remove some files", did)
    return Finding(name, "ok", sentence, did=did)


def _epanet() -> Finding:
    try:
        load()
    except (MachineError, EngineError) as error:
        remedy = "install owa-epanet (or, from Python 3.13 on, EPyT); until then only tasks with commands run here"
        return Finding("EPANET", "FAILED", str(error), remedy)
    return Finding("EPANET", "ok", ENGINE_VERSION)


def _agent(home: Path, *, expected: bool) -> Finding:
    """It holds the lock of its home as long as it lives."""
    did = f"cat {home}/lock"
    try:
        descriptor = os.open(home / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return _no_agent(expected, did)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        return Finding("agent", "ok", f"it runs, process {holder}", did=did)
    else:
        return _no_agent(expected, did)
    finally:
        os.close(descriptor)


def _no_agent(expected: bool, did: str) -> Finding:
    if not expected:
        return Finding("agent", "note", "none runs in this home", did=did)
    remedy = "start it: systemctl start ecloud-worker, or worker/startup.sh; its log says why it ended"
    return Finding("agent", "FAILED", "none runs in this home", remedy, did)


def _version(boss_version: int | None, bundle: str, boss_bundles: Mapping[str, str]) -> Finding:
    kind, _, digest = bundle.partition("=")
    if boss_version not in (None, VERSION):
        sentence = f"it speaks version {VERSION} of the messages, the boss {boss_version}"
        return Finding("agent version", "FAILED", sentence, "install the boss's version of ecloud here")
    if boss_bundles.get(kind, digest) != digest:
        sentence = f"it runs from the bundle {digest}, and the boss has {boss_bundles[kind]}"
        remedy = "it replaces itself once what it runs has ended; if it does not, its log says why"
        return Finding("agent version", "FAILED", sentence, remedy)
    if boss_version is None:
        return Finding(
            "agent version", "ok", f"bundle {bundle}; compared with the boss's only by admin.py debug_worker"
        )
    as_boss = f", bundle {bundle}" if bundle else ""
    return Finding("agent version", "ok", f"version {VERSION} of the messages{as_boss}, as the boss")
