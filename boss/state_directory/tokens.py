"""Logins of the HTTP API: made once, kept in a file that only its owner can read, compared in constant time.

Loopback is no boundary on a shared machine, so there is always a token. Nothing here knows HTTP.
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

#: Where the token of the HTTP API stands, below the state directory.
TOKEN_FILE = Path("logins") / "http_token"
#: ... and the one of a datastore elsewhere, which is good for files only.
DATASTORE_TOKEN_FILE = Path("logins") / "http_datastore"


def ensure_token(state_directory: Path, file: Path = TOKEN_FILE) -> str:
    """The token of this state directory, made if there is none. Safe against two starts at once."""
    path = state_directory / file
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    if not path.exists():
        _write_private(temporary, secrets.token_urlsafe(32))
        try:
            os.link(temporary, path)  # atomic, and never replaces the one of another start
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return read_token(state_directory, file)


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


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
