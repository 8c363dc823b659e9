"""The digest of a file's content, as every name for a content has it: BLAKE2b with 256 bits."""

from __future__ import annotations

import hashlib
import os

_READ_BYTES = 1 << 20


def digest_of(descriptor: int) -> str:
    """Of the whole file, wherever the descriptor stands. Raises OSError."""
    digest = hashlib.blake2b(digest_size=32)
    at = 0
    while chunk := os.pread(descriptor, _READ_BYTES, at):
        digest.update(chunk)
        at += len(chunk)
    return f"b2:{digest.hexdigest()}"
