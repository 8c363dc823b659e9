"""How much the disk of an SQLite database still takes, so that a push that cannot fit is refused at once."""

from __future__ import annotations

import shutil
from pathlib import Path


def database_free_bytes(url: str) -> int | None:
    """Bytes that an SQLite database's disk still takes, its log's pages that are used again included."""
    path = Path(url.removeprefix("sqlite:///"))
    if not url.startswith("sqlite:///"):
        return None  # the server's disk is not ours to look at
    try:
        log = path.with_name(path.name + "-wal").stat().st_size
    except OSError:
        log = 0
    try:
        return shutil.disk_usage(path.parent).free + log
    except OSError:
        return None
