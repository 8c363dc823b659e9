"""The user that the agent runs as, and who may log in as that user by SSH: made where this is root, else left alone."""

from __future__ import annotations

import base64
import glob
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from worker.bootstrap.bootstrap import BootstrapRefusedError, write_private

USER = "ecloud"
HOME = Path("/var/lib/ecloud")


@dataclass(frozen=True)
class Account:
    name: str
    uid: int
    gid: int
    home: Path

    def own(self, path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def ensure_account() -> Account:
    """Raises BootstrapRefusedError."""
    if os.geteuid() != 0:
        return _account(pwd.getpwuid(os.geteuid()))
    try:
        entry = pwd.getpwnam(USER)
    except KeyError:
        entry = _make()
    account = _account(entry)
    for folder in {account.home, HOME}:
        if not folder.exists():
            folder.mkdir(mode=0o755, parents=True)
        if folder.stat().st_uid != account.uid:
            account.own(folder)
    return account


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir))


def _make() -> pwd.struct_passwd:
    # A password of `*`: none serves, and sshd does not take the account for a locked one.
    command = ["useradd", "--system", "--home-dir", str(HOME), "--shell", "/bin/sh", "--password", "*", USER]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        return pwd.getpwnam(USER)
    except OSError as error:
        raise BootstrapRefusedError(f"the user {USER!r} cannot be made: {error}") from None
    except KeyError:
        raise BootstrapRefusedError(
            f"the user {USER!r} cannot be made: {done.stderr.strip() or done.returncode}"
        ) from None


def ensure_host_keys(pattern: str = "/etc/ssh/ssh_host_*_key.pub") -> None:
    """What a hello states must be there before it; an image may make its keys only at its first boot."""
    if os.geteuid() == 0 and not glob.glob(pattern) and shutil.which("ssh-keygen"):
        subprocess.run(["ssh-keygen", "-A"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)


def authorize(account: Account, encoded: str) -> None:
    """Let the owners of these keys log in as the user. `encoded`: base64 of lines for authorized_keys."""
    try:
        keys = [line for line in base64.b64decode(encoded).decode("ascii").splitlines() if line.strip()]
    except ValueError as error:
        raise BootstrapRefusedError(f"ECLOUD_AUTHORIZED_KEYS is no base64 of text: {error}") from None
    folder = account.home / ".ssh"
    if not folder.exists():
        folder.mkdir(mode=0o700)
        account.own(folder)
    path = folder / "authorized_keys"
    there = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    missing = [line for line in keys if line not in there]
    if missing:
        write_private(path, "".join(f"{line}\n" for line in [*there, *missing]))
        account.own(path)
