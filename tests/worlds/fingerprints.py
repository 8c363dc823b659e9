"""Public SSH keys as ssh-keygen prints them."""

from __future__ import annotations

import base64
import hashlib


def fingerprint(public: str) -> str:
    """`SHA256:...` as ssh-keygen -l prints it, of a public key's line."""
    blob = base64.b64decode(public.split()[1], validate=True)
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
