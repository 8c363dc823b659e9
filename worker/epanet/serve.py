"""The warm child process: one JSON line in for each task, JSON lines out while it runs and when it ends.

In:  {"run": <EpanetRun>, "directory": "<working directory>"}
Out: {"progress": 0.3} any number of times, then
     {"ended": "succeeded" | "failed", "reason": "...", "exit_code": 0, "figures": {...}}

What is for users goes to stderr. Knows the protocol and nothing of EPANET. A limit of time is kept by
whoever started this process, by ending it: a simulation cannot be interrupted from inside.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from wire.messages import EpanetRun
from worker.epanet.batch import run_batch
from worker.epanet.errors import BatchError, MachineError
from worker.epanet.library import load
from worker.epanet.warm import OpenNetworks

_PROGRESS_SECONDS = 0.5


class Request(msgspec.Struct):
    run: EpanetRun
    directory: str


class BatchEnded(msgspec.Struct, kw_only=True):
    ended: str
    reason: str = ""
    exit_code: int = 0
    figures: dict[str, float] = {}


_decoder = msgspec.json.Decoder(Request)
_encoder = msgspec.json.Encoder()


def main() -> int:
    """Serves until stdin ends. A reader that is gone ends this process too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = _own_stdout()
    networks = OpenNetworks()
    try:
        for line in sys.stdin.buffer:
            reply(replies, answer(line, networks, lambda fraction: reply(replies, {"progress": fraction})))
    except BrokenPipeError:
        return 1
    finally:
        networks.close()
    return 0


def _own_stdout() -> BinaryIO:
    """The protocol's own way out; what the C library may print to stdout goes to stderr from now on."""
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return replies


def reply(replies: BinaryIO, content: object) -> None:
    replies.write(_encoder.encode(content) + b"\n")


def answer(line: bytes, networks: OpenNetworks, progress: Callable[[float], None]) -> BatchEnded:
    """Runs one task to its end; whatever goes wrong is its answer, and the process lives on."""
    try:
        request = _decoder.decode(line)
    except msgspec.DecodeError as error:
        return BatchEnded(ended="failed", reason=f"the request cannot be read: {error}", exit_code=2)
    try:
        load()
        with _inside(request.directory) as directory:
            summary = run_batch(request.run, directory, networks, sparingly(progress), tell)
    except BatchError as fault:
        tell(str(fault))
        return BatchEnded(ended="failed", reason=str(fault), exit_code=fault.exit_code, figures=fault.figures)
    except BrokenPipeError:
        raise
    except Exception as error:
        traceback.print_exc()
        return BatchEnded(ended="failed", reason=f"a fault in the EPANET runner: {error!r}", exit_code=1)
    return BatchEnded(ended="succeeded", figures=summary.figures)


@contextlib.contextmanager
def _inside(directory: str) -> Iterator[Path]:
    """EPANET puts its temporary files into the current directory, and cuts long paths: so be in the task's own."""
    before = os.getcwd()
    try:
        os.chdir(directory)
    except OSError as error:
        raise MachineError(f"the working directory cannot be entered: {error}") from error
    try:
        yield Path(os.getcwd())
    finally:
        os.chdir(before)


def tell(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def sparingly(progress: Callable[[float], None]) -> Callable[[float], None]:
    """At most twice a second."""
    last = time.monotonic()

    def report(fraction: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _PROGRESS_SECONDS:
            last = now
            progress(round(fraction, 4))

    return report
