"""The user that the agent runs as, and who may log in as that user by SSH: made where this is root, else left alone."""

from __future__ import annotations

import base64
import errno
import glob
import os
import pwd
import secrets
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from worker.bootstrap.bootstrap import BootstrapRefusedError

USER = "ecloud"
HOME = Path("/var/lib/ecloud")
#: In the user's folder .ssh; of a longer one so much is kept.
_KEYS = "authorized_keys"
_MAX_BYTES = 1024 * 1024


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
    try:
        _add_keys(account, keys)
    except OSError as error:
        raise BootstrapRefusedError(
            f"{account.home}/.ssh/authorized_keys cannot be written safely ({error.strerror or error}): it and its "
            f"folder must be plain ones of user {account.name!r}; remove what stands there, and start again"
        ) from None


def _add_keys(account: Account, keys: list[str]) -> None:
    """From one open folder to the next: this may be root, and all of it is in the hands of the user. Raises OSError."""
    home = os.open(account.home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        folder = _ssh_folder(home, account)
        try:
            there = _lines(folder, account)
            missing = [line for line in keys if line not in there]
            if missing:
                _replace(folder, account, "".join(f"{line}\n" for line in [*there, *missing]))
        finally:
            os.close(folder)
    finally:
        os.close(home)


def _ssh_folder(home: int, account: Account) -> int:
    try:
        os.mkdir(".ssh", 0o700, dir_fd=home)
        if os.geteuid() == 0:
            os.chown(".ssh", account.uid, account.gid, dir_fd=home, follow_symlinks=False)
    except FileExistsError:
        pass
    folder = os.open(".ssh", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=home)
    if os.fstat(folder).st_uid != account.uid:
        os.close(folder)
        raise OSError(errno.EPERM, "the folder .ssh belongs to another user")
    return folder


def _lines(folder: int, account: Account) -> list[str]:
    try:
        file = os.open(_KEYS, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return []
    with open(file, encoding="utf-8", errors="replace") as opened:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != account.uid:
            raise OSError(errno.EPERM, f"{_KEYS} is no file of this user")
        return opened.read(_MAX_BYTES).splitlines()


def _replace(folder: int, account: Account, text: str) -> None:
    """Whole or not at all."""
    temporary = f".{_KEYS}.{secrets.token_hex(4)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(temporary, flags, 0o600, dir_fd=folder), "w", encoding="utf-8") as file:
        if os.geteuid() == 0:
            os.fchown(file.fileno(), account.uid, account.gid)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, _KEYS, src_dir_fd=folder, dst_dir_fd=folder)
