"""What is kept of an earlier release: a state directory, what its commands printed, its OpenAPI document, its worker,
its messages.

All of it was written once by that release's own programs (tests/worlds/stored/README.md) and is never made again.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

RELEASE = Path(__file__).parent / "stored" / "5248fd3"
#: Stands in stored outputs for the directory that holds the state directory.
HERE = "/HERE"


def unpack_state(directory: Path) -> Path:
    """The state directory, `.ecloud` of `directory`, as it was when its boss and workers were killed."""
    with tarfile.open(RELEASE / "state.tar.xz") as archive:
        archive.extractall(directory, filter="data")
    return directory / ".ecloud"


def worker_files() -> dict[str, bytes]:
    """The worker's own program, by path: what machines of its workers run, and worker/startup.sh."""
    with tarfile.open(RELEASE / "worker.tar.xz") as archive:
        files = ((each.name, archive.extractfile(each)) for each in archive)
        return {name: file.read() for name, file in files if file is not None}


def stored_commands() -> dict[str, Any]:
    """`files`: task files by name; `said`: by command line how it ended; `options`: by command its parameters."""
    found: dict[str, Any] = json.loads((RELEASE / "commands.json").read_text())
    return found


def wire_payloads() -> dict[str, bytes]:
    """Messages of version 1 of the protocol by name: those of its agents, and those `order_*` that they take."""
    found: dict[str, str] = json.loads((RELEASE / "wire.json").read_text())
    return {name: text.encode() for name, text in found.items()}


def stored_openapi() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RELEASE / "openapi.json").read_text())
    return found
