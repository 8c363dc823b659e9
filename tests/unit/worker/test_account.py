"""A keeper that may be root writes into a home that its user controls: no link leads it anywhere else."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import pytest

from worker.bootstrap.account import Account, authorize
from worker.bootstrap.bootstrap import BootstrapRefusedError

KEYS = "ssh-ed25519 AAAA boss\nssh-ed25519 BBBB datastore\n"


def encoded(text: str = KEYS) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def account(tmp_path: Path) -> Account:
    home = tmp_path / "home"
    home.mkdir()
    return Account("me", os.getuid(), os.getgid(), home)


def test_keys_are_added_once_and_those_of_others_stay(account: Account) -> None:
    authorize(account, encoded())
    path = account.home / ".ssh" / "authorized_keys"
    path.write_text("ssh-rsa CCCC mine\n" + KEYS.splitlines()[0] + "\n")
    authorize(account, encoded())
    authorize(account, encoded())
    assert path.read_text().splitlines() == ["ssh-rsa CCCC mine", *KEYS.splitlines()]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [one.name for one in path.parent.iterdir()] == ["authorized_keys"]


def refused(account: Account, target: Path) -> None:
    before = sorted((path, path.read_bytes() if path.is_file() else b"") for path in target.rglob("*"))
    with pytest.raises(BootstrapRefusedError, match="cannot be written safely"):
        authorize(account, encoded())
    assert sorted((path, path.read_bytes() if path.is_file() else b"") for path in target.rglob("*")) == before


def test_a_link_instead_of_the_folder_is_not_followed(account: Account, tmp_path: Path) -> None:
    target = tmp_path / "root"
    target.mkdir()
    (account.home / ".ssh").symlink_to(target)
    refused(account, target)


def test_a_link_instead_of_the_file_is_not_followed(account: Account, tmp_path: Path) -> None:
    target = tmp_path / "root"
    target.mkdir()
    (target / "shadow").write_text("secret\n")
    (account.home / ".ssh").mkdir(mode=0o700)
    (account.home / ".ssh" / "authorized_keys").symlink_to(target / "shadow")
    refused(account, target)


def test_a_pipe_instead_of_the_file_does_not_hang(account: Account, tmp_path: Path) -> None:
    (account.home / ".ssh").mkdir(mode=0o700)
    os.mkfifo(account.home / ".ssh" / "authorized_keys")
    with pytest.raises(BootstrapRefusedError):
        authorize(account, encoded())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to another user")
def test_what_belongs_to_another_user_is_not_touched(account: Account, tmp_path: Path) -> None:
    other = Account("ecloud", 12345, 12345, account.home)
    (account.home / ".ssh").mkdir(mode=0o700)
    refused(other, tmp_path)
    os.chown(account.home / ".ssh", 12345, 12345)
    path = account.home / ".ssh" / "authorized_keys"
    path.write_text("root's\n")
    refused(other, tmp_path)
    path.unlink()
    authorize(other, encoded())
    assert path.stat().st_uid == 12345
