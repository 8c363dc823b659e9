"""What the machine that deployed knows: `deploy/` in its state directory, for its owner only.

deploy/record.json   the mark, the boss's machine, its host key, tokens; written before what it speaks of is done
deploy/key, .pub     lets this machine's user log in at the boss's machine
deploy/host_key      the host key that the machine shows until its own one is known; gone then
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from boss.bootstrap.ssh_keys import SshKey, ensure_key
from boss.common.file_lock import take_lock
from boss.common.private_files import private_folder, write_private
from boss.deploy.errors import DeployError

FOLDER = "deploy"


class DeployRecord(msgspec.Struct, kw_only=True):
    #: What every machine and image of this deployment is tagged with.
    mark: str
    endpoint: str
    user: str
    #: Of the boss's HTTP.
    http_token: str
    #: The boss's machine; None: none is known.
    machine: int | None = None
    #: When a call that makes it was about to be made (time.time); 0: never, or its outcome is known.
    intended_at: float = 0.0
    address: str = ""
    #: The machine's own host key: type and key.
    host_key: str = ""
    #: Login token of the cloud that the boss has, and when it ends.
    cloud_token: str = ""
    cloud_token_until: float = 0.0
    #: Name of the datastore's disk.
    disk: str = ""


class Kept:
    """One deployment's record, open for one process at a time."""

    def __init__(self, folder: Path, record: DeployRecord) -> None:
        self.folder = folder
        self.record = record

    def save(self) -> None:
        """On disk when this returns."""
        write_private(
            self.folder / "record.json", msgspec.json.format(msgspec.json.encode(self.record), indent=1), durable=True
        )

    @property
    def key(self) -> SshKey:
        return ensure_key(self.folder / "key", "deploy")

    @property
    def first_host_key(self) -> SshKey:
        return ensure_key(self.folder / "host_key", "first")

    def forget_first_host_key(self) -> None:
        for name in ("host_key", "host_key.pub"):
            (self.folder / name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Nothing is left of it in the cloud."""
        for name in ("record.json", "key", "key.pub", "host_key", "host_key.pub"):
            (self.folder / name).unlink(missing_ok=True)


@contextmanager
def opened(state_directory: Path, endpoint: str, user: str, *, make: bool) -> Iterator[Kept | None]:
    """None: there is none, and none is to be made. Raises DeployError: another process has it, or another account."""
    folder = state_directory / FOLDER
    private_folder(folder)
    try:
        lock = take_lock(folder / "lock")
    except BlockingIOError:
        raise DeployError(f"another deploy or teardown of {state_directory} is under way: let it end") from None
    try:
        yield _read_or_make(folder, endpoint, user, make)
    finally:
        os.close(lock)


def _read_or_make(folder: Path, endpoint: str, user: str, make: bool) -> Kept | None:
    path = folder / "record.json"
    try:
        record = msgspec.json.decode(path.read_bytes(), type=DeployRecord)
    except FileNotFoundError:
        record = None
    except msgspec.DecodeError as error:
        raise DeployError(f"{path} cannot be read ({error}): move it away, and remove what it made manually") from None
    if record is not None and (record.endpoint, record.user) == (endpoint, user):
        return Kept(folder, record)
    if record is not None and _made_something(record):
        raise DeployError(
            f"what was deployed from here is at {record.endpoint}, account {record.user}; the settings name "
            f"{endpoint}, {user}. Put the settings back, or use another state directory (ECLOUD_HOME)"
        )
    if not make:
        return None
    made = DeployRecord(mark=secrets.token_hex(8), endpoint=endpoint, user=user, http_token=secrets.token_urlsafe(32))
    kept = Kept(folder, made)
    kept.save()
    return kept


def _made_something(record: DeployRecord) -> bool:
    """A first try at a mistyped address leaves nothing that would have to be found again."""
    return bool(record.machine is not None or record.intended_at or record.cloud_token or record.disk)
