"""Logins of the HTTP API: made once, kept in a file that only its owner can read, compared in constant time.

Loopback is no boundary on a shared machine, so there is always a token. Nothing here knows HTTP.
"""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path

from boss.common.private_files import kept_secret, secret_of

#: Where the token of the HTTP API stands, below the state directory.
TOKEN_FILE = Path("logins") / "http_token"
#: ... and the one of a datastore elsewhere, which is good for files only.
DATASTORE_TOKEN_FILE = Path("logins") / "http_datastore"


def ensure_token(state_directory: Path, file: Path = TOKEN_FILE) -> str:
    """The token of this state directory, made if there is none. Safe against two starts at once."""
    return kept_secret(state_directory / file, lambda: secrets.token_urlsafe(32))


def read_token(state_directory: Path, file: Path = TOKEN_FILE) -> str:
    """The token; raises OSError (not yours to read) or ValueError (not there, empty or torn)."""
    token = secret_of(state_directory / file)
    if not token:
        raise ValueError("it is not there, empty or damaged; a boss that is started again makes a new one")
    return token


def same(given: str, wanted: str) -> bool:
    """Constant time whatever is given."""
    return hmac.compare_digest(given.encode(errors="surrogateescape"), wanted.encode())
