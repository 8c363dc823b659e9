"""A look at a worker's host for an operator: reach it, check its key, run worker/debug.sh there, pass on its output.

For a worker of this machine the script runs here, without SSH. The output of a host is not trusted: it is cut where it
is too long, and made harmless by who prints it.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from boss.api.schema import DebugLine
from boss.embedded.environments import ROOT
from boss.ssh import HostKeyError, HostUnreachableError, SshError, connect
from boss.ssh.connection import Ran
from wire.messages import VERSION, Place

SCRIPT = ROOT / "worker" / "debug.sh"
#: For the whole script; each of its checks has a shorter limit of its own.
SECONDS = 100.0
MAX_BYTES = 256 * 1024
MAX_LINE = 2000
_FAILED = "FAILED  "
#: So many are looked at together: each holds a thread of the HTTP server.
_AT_ONCE = threading.BoundedSemaphore(4)


def debug_lines(
    worker: str, place: Place, boss_key: Path, datastore_key: str, bundles: str = ""
) -> Iterator[DebugLine]:
    """All that is found out, the last line with `ended`. `datastore_key`: its public key, which is looked for there;
    `bundles`: what workers on machines of their own are to run from, KIND=DIGEST each."""
    if not _AT_ONCE.acquire(blocking=False):
        yield DebugLine(text="Four workers are being looked at already; ask again when one of these has ended.")
        yield DebugLine(ended=True, failed=["not looked at"])
        return
    try:
        failed: list[str] = []
        for line in _found_out(worker, place, boss_key, datastore_key, bundles):
            if line.failed is not None:
                failed.append(line.failed)
            yield DebugLine(text=line.text)
        yield DebugLine(ended=True, failed=failed)
    finally:
        _AT_ONCE.release()


class _Line(NamedTuple):
    text: str
    #: The check that failed; None: none did.
    failed: str | None = None


def _failed(check: str, reason: str) -> _Line:
    return _Line(f"{_FAILED}{check}: {reason}", check)


def _printed(text: str) -> _Line:
    """A line of the script, which has nothing but text to report a failed check by."""
    return _Line(text, text.removeprefix(_FAILED).partition(": ")[0] if text.startswith(_FAILED) else None)


def _found_out(worker: str, place: Place, boss_key: Path, datastore_key: str, bundles: str) -> Iterator[_Line]:
    ran = Ran()
    arguments = ["--check", "--home", place.path, "--boss-version", str(VERSION), "--datastore-key", datastore_key]
    arguments += ["--boss-time", f"{time.time():.1f}"]
    arguments += ["--boss-bundles", bundles] if bundles else []
    if place.kind == "local":
        yield _Line(f"Worker {worker} is on the boss's machine, in {place.path}.")
        yield from map(_printed, _lines(_run_here(arguments, ran)))
    else:
        yield _Line(f"Worker {worker} is at {place.user}@{place.host}:{place.port}, in {place.path}.")
        yield from _there(place, boss_key, arguments, ran)
    if ran.cut:
        yield _failed("output", f"there was more than {MAX_BYTES // 1024} KiB of it; the rest was not read")
    if ran.exit_code is not None and ran.exit_code not in (0, 1):
        yield _failed("debug.sh", f"it ended with exit code {ran.exit_code}")


def _there(place: Place, boss_key: Path, arguments: list[str], ran: Ran) -> Iterator[_Line]:
    yield _Line(f"+ ssh -p {place.port} -i {boss_key} {place.user}@{place.host}   (from the boss)")
    try:
        connection = connect(place, boss_key)
    except SshError as error:
        yield _failed(_step(error), str(error))
        return
    with connection:
        yield _Line(f"ok      host key: {connection.host_key}, a pinned one")
        yield _Line(f"ok      login of the boss as {place.user}")
        command = shlex.join(["sh", "-s", "--", *arguments])
        yield _Line(f"+ {command} < worker/debug.sh")
        try:
            yield from map(_printed, _lines(connection.run(command, SCRIPT.read_bytes(), ran, SECONDS, MAX_BYTES)))
        except SshError as error:
            yield _failed("connection", str(error))


def _step(error: SshError) -> str:
    if isinstance(error, HostUnreachableError):
        return "sshd"
    return "host key" if isinstance(error, HostKeyError) else "login of the boss"


def _run_here(arguments: list[str], ran: Ran) -> Iterator[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ECLOUD_")}
    process = subprocess.Popen(
        ["sh", os.fspath(SCRIPT), *arguments],
        env=kept,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    limit = threading.Timer(SECONDS, os.killpg, (process.pid, signal.SIGKILL))
    limit.start()
    try:
        assert process.stdout is not None
        with process.stdout as said:
            while piece := os.read(said.fileno(), 32 * 1024):
                yield piece
        ran.exit_code = process.wait()
    finally:
        limit.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _lines(pieces: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from map(_text, whole)
        rest = rest[:MAX_LINE]
    if rest:
        yield _text(rest)


def _text(line: bytes) -> str:
    return line[:MAX_LINE].decode("utf-8", "replace").rstrip("\r")
