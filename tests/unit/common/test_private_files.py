"""Files of their owner alone: whole or not at all, and never by the mode of a user's umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.common.private_files import kept_secret, make_private, private_folder, secret_of, write_private


@pytest.fixture(autouse=True)
def open_to_all() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_and_its_owners_alone(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "secret"
    path.write_text("before")
    path.chmod(0o644)
    write_private(path, "after\n", durable=durable)
    assert (path.read_text(), mode_of(path)) == ("after\n", 0o600)
    write_private(path, b"\xff", durable=durable, mode=0o644)
    assert (path.read_bytes(), mode_of(path)) == (b"\xff", 0o644)
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_what_was_there_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret"
    write_private(path, "before")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_private(path, "after", durable=True)
    with pytest.raises(OSError, match="No space"):
        make_private(tmp_path / "other", "after")
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(OSError):
        write_private(folder, "a folder is in its way")
    assert sorted(tmp_path.iterdir()) == [folder, path]


def test_a_link_in_the_place_of_a_file_is_replaced_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("not ours")
    (tmp_path / "secret").symlink_to(other)
    write_private(tmp_path / "secret", "ours")
    assert other.read_text() == "not ours" and not (tmp_path / "secret").is_symlink()


def test_what_another_program_made_first_stays(tmp_path: Path) -> None:
    path = tmp_path / "token"
    assert make_private(path, "first") is True
    assert make_private(path, "second") is False
    assert (path.read_text(), mode_of(path)) == ("first", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_made_for_its_owner_and_left_as_it_is(tmp_path: Path) -> None:
    assert mode_of(private_folder(tmp_path / "a")) == 0o700
    (tmp_path / "a").chmod(0o750)
    assert mode_of(private_folder(tmp_path / "a")) == 0o750


@pytest.mark.parametrize("torn", [b"", b"\n", b"\0\0\0\0", b"abc\0\0", b"\xff\xfe", b"two\nlines"])
def test_a_secret_that_is_empty_or_torn_is_made_again_and_then_kept(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "logins" / "secret"
    assert secret_of(path) == ""
    assert kept_secret(path, lambda: "first") == "first" and kept_secret(path, lambda: "second") == "first"
    path.write_bytes(torn)
    assert secret_of(path) == ""
    assert kept_secret(path, lambda: "third") == "third" and path.read_text() == "third\n" and mode_of(path) == 0o600
    path.write_text("an operator's own\n")
    assert kept_secret(path, lambda: "fourth") == "an operator's own"
