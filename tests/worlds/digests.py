"""Digests as messages and the database have them, made by the tests' own hand."""

from __future__ import annotations

import hashlib


def digest(content: bytes) -> str:
    return "b2:" + hashlib.blake2b(content, digest_size=32).hexdigest()
