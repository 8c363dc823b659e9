"""The one digest there is: BLAKE2b with 256 bits, written `b2:<hex>`. Knows files and bytes only."""

from __future__ import annotations

import hashlib
import os
from typing import Any

PREFIX = "b2:"
CHUNK = 1024 * 1024


def new() -> Any:
    return hashlib.blake2b(digest_size=32)


def text(state: Any) -> str:
    return PREFIX + str(state.hexdigest())


def of_descriptor(fd: int) -> str:
    """Digest of a file from its beginning. Large reads let other threads run."""
    state = new()
    offset = 0
    while data := os.pread(fd, CHUNK, offset):
        state.update(data)
        offset += len(data)
    return text(state)


def cache_name(digest: str) -> str | None:
    """The file name of a digest in a cache, or None if it is not one."""
    hexadecimal = digest.removeprefix(PREFIX)
    if digest.startswith(PREFIX) and len(hexadecimal) == 64 and set(hexadecimal) <= set("0123456789abcdef"):
        return hexadecimal
    return None
