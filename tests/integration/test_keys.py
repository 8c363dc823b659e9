"""The deployment's SSH keys, as OpenSSH's own tools see them."""

from __future__ import annotations

import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from boss.bootstrap.ssh_keys import KeyFileError, ensure_keys, key_path
from tests.worlds.fingerprints import fingerprint
from tests.worlds.waiting import scaled

KEY_FILES = ["boss", "boss.pub", "datastore", "datastore.pub"]
KEYGEN = pytest.mark.needs("ssh-keygen")


def keygen(*arguments: str) -> str:
    done = subprocess.run(["ssh-keygen", *arguments], capture_output=True, text=True, timeout=scaled(20), check=True)
    return done.stdout


@KEYGEN
def test_openssh_reads_the_keys_and_derives_the_public_half_that_is_beside(tmp_path: Path) -> None:
    for key in ensure_keys(tmp_path):
        assert keygen("-y", "-f", str(key.path)).split()[:2] == key.public.split()[:2]
        assert keygen("-l", "-f", f"{key.path}.pub").split()[1] == fingerprint(key.public)


def test_private_keys_and_their_folder_are_their_owners_alone(tmp_path: Path) -> None:
    keys = ensure_keys(tmp_path)
    assert [key.name for key in keys] == ["boss", "datastore"]
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert [stat.S_IMODE(key.path.stat().st_mode) for key in keys] == [0o600, 0o600]
    assert len({key.public.split()[1] for key in keys}) == 2


def test_asking_again_changes_nothing(tmp_path: Path) -> None:
    first = ensure_keys(tmp_path)
    texts = [key.path.read_bytes() for key in first]
    again = ensure_keys(tmp_path)
    assert [key.made for key in first] == [True, True]
    assert [key.made for key in again] == [False, False]
    assert [key.path.read_bytes() for key in again] == texts
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == KEY_FILES
    assert [key.public for key in again] == [key.public for key in first]


@KEYGEN
def test_starts_at_the_same_time_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: ensure_keys(tmp_path), range(8)))
    assert len({key.public for keys in made for key in keys}) == 2
    for key in made[0]:
        assert keygen("-y", "-f", str(key.path)).split()[:2] == key.public.split()[:2]


@KEYGEN
def test_a_public_half_that_was_lost_is_made_from_the_private_one(tmp_path: Path) -> None:
    boss, _ = ensure_keys(tmp_path)
    (tmp_path / "keys" / "boss.pub").unlink()
    again, _ = ensure_keys(tmp_path)
    assert again.public.split()[:2] == boss.public.split()[:2]
    assert not again.made


def test_a_key_that_others_can_read_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    ensure_keys(tmp_path)
    path = key_path(tmp_path, "datastore")
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match=f"chmod 600 {path}"):
        ensure_keys(tmp_path)


def test_a_file_that_is_no_key_is_refused_by_name(tmp_path: Path) -> None:
    ensure_keys(tmp_path)
    key_path(tmp_path, "boss").write_text("nonsense\n")
    (tmp_path / "keys" / "boss.pub").unlink()
    with pytest.raises(KeyFileError, match="keys/boss is no SSH key"):
        ensure_keys(tmp_path)
