"""The SSH keys of a deployment: made once, kept in the state directory, never replaced.

Two pairs, ed25519 in OpenSSH's form, `keys/<name>` (0600) with `keys/<name>.pub` beside it: `boss` for looking at
workers' hosts (`boss.ssh`), `datastore` for moving files. Workers hold neither. Knows files and key formats, no
network.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from boss.bootstrap.errors import BootstrapError
from boss.common.private_files import make_private, private_folder, write_private

FOLDER = "keys"
BOSS, DATASTORE = "boss", "datastore"
#: What a login by one of our keys may do on a worker's host: run commands, nothing else.
RESTRICTIONS = "restrict"


class KeyFileError(BootstrapError):
    """A key file cannot be used; says which and what to do."""


@dataclass(frozen=True)
class SshKey:
    """One key pair on disk."""

    name: str
    path: Path
    #: `ssh-ed25519 AAAA... comment`
    public: str
    #: It was not there before.
    made: bool = False

    @property
    def authorized_keys_line(self) -> str:
        """What a worker's user needs in its authorized_keys."""
        return f"{RESTRICTIONS} {self.public}"


def ensure_keys(state_directory: Path) -> list[SshKey]:
    """Both pairs, made where there are none. Raises KeyFileError, OSError."""
    return [ensure_key(key_path(state_directory, name), name) for name in (BOSS, DATASTORE)]


def ensure_key(path: Path, name: str) -> SshKey:
    """One pair, made where there is none. Raises KeyFileError, OSError."""
    private_folder(path.parent)
    if path.exists() and not path.stat().st_size:  # a crash left it: there is no key in it to lose
        path.unlink()
    made = not path.exists() and _make(path)
    _refuse_open_key(path)
    public = path.with_name(path.name + ".pub")
    if made or not public.exists() or not public.stat().st_size:
        write_private(
            public, _public_of(path, f"ecloud-{name}@{socket.gethostname()}") + "\n", durable=True, mode=0o644
        )
    text = public.read_text(encoding="ascii", errors="replace").strip()
    return SshKey(name, path, text, made)


def key_path(state_directory: Path, name: str) -> Path:
    """Where the private key of this name lies; the public one is beside it, with `.pub`. Touches no file."""
    return state_directory / FOLDER / name


def _make(path: Path) -> bool:
    """False: another start made one at the same time, which holds."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return make_private(path, private)


def _public_of(path: Path, comment: str) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

    try:
        key = load_ssh_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise KeyFileError(f"{path} is no SSH key without a passphrase ({error}); {_NEW_ONE}") from None
    return f"{key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()} {comment}"


_NEW_ONE = "move it away to have a new one made, which workers' users must then be given again"


def _refuse_open_key(path: Path) -> None:
    """ssh refuses a private key that others can read, with a page of text; so it is reported here."""
    if path.stat().st_mode & 0o077:
        raise KeyFileError(f"the private key {path} can be read by others, so ssh refuses it: chmod 600 {path}")
