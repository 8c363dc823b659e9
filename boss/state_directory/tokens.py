"""Logins of the HTTP API: made once, kept in a file that only its owner can read, compared in constant time.

Loopback is no boundary on a shared machine, so there is always a token. Nothing here knows HTTP.
"""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path

from boss.common.private_files import make_private, private_folder

#: Where the token of the HTTP API stands, below the state directory.
TOKEN_FILE = Path("logins") / "http_token"
#: ... and the one of a datastore elsewhere, which is good for files only.
DATASTORE_TOKEN_FILE = Path("logins") / "http_datastore"


def ensure_token(state_directory: Path, file: Path = TOKEN_FILE) -> str:
    """The token of this state directory, made if there is none. Safe against two starts at once."""
    path = state_directory / file
    private_folder(path.parent)
    if not path.exists():
        make_private(path, secrets.token_urlsafe(32) + "\n")
    return read_token(state_directory, file)


def read_token(state_directory: Path, file: Path = TOKEN_FILE) -> str:
    """The token; raises OSError (not there, not yours to read) or ValueError (empty)."""
    path = state_directory / file
    token = path.read_text().strip()
    if not token:
        raise ValueError(f"{path} is empty; remove it and start the boss again: it makes a new one")
    return token


def same(given: str, wanted: str) -> bool:
    """Constant time whatever is given."""
    return hmac.compare_digest(given.encode(errors="surrogateescape"), wanted.encode())
