"""Where the state directory is found, made and refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from boss.state_directory.find import (
    StateDirectoryError,
    file_system_of,
    find,
    find_or_make,
    refuse_network_file_system,
    refuse_tree_of_others,
    tree_beside,
)

MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /home rw,nosuid shared:2 - nfs4 server:/home rw
31 30 0:41 / /home/local\040disk rw - xfs /dev/sdb1 rw
32 22 0:42 / /mnt/remote rw - fuse.sshfs user@host: rw
33 22 0:43 / /mnt/usb rw - fuseblk /dev/sdc1 rw
34 22 0:44 / /twice rw - nfs server:/twice rw
35 34 0:45 / /twice rw - tmpfs tmpfs rw
a broken line
""".strip()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/srv/x/.ecloud", "ext4"),
        ("/homeward", "ext4"),
        ("/home/eng/.ecloud", "nfs4"),
        ("/home/local disk/.ecloud", "xfs"),
        ("/mnt/remote/a/b", "fuse.sshfs"),
        ("/mnt/usb/a", "fuseblk"),
        ("/twice/a", "tmpfs"),
    ],
)
def test_the_innermost_mount_tells_the_file_system(path: str, kind: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind


def test_a_network_file_system_is_refused_with_the_way_out(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    with pytest.raises(StateDirectoryError, match=r"network file system \(nfs4\).*Set ECLOUD_HOME"):
        refuse_network_file_system(Path("/home/eng/.ecloud"), mounts)
    refuse_network_file_system(Path("/mnt/usb/.ecloud"), mounts)
    refuse_network_file_system(Path("/home/eng/.ecloud"), tmp_path / "absent")


def test_it_is_found_in_the_directory_or_above(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find(below, {}) is None
    (tmp_path / "a" / ".ecloud").mkdir()
    assert find(below, {}) == tmp_path / "a" / ".ecloud"
    assert find_or_make(below, {}) == tmp_path / "a" / ".ecloud"


def test_it_is_made_where_one_stands_and_for_the_owner_only(tmp_path: Path) -> None:
    made = find_or_make(tmp_path, {})
    assert made == tmp_path / ".ecloud" and made.stat().st_mode & 0o777 == 0o700
    made.chmod(0o755)
    assert find_or_make(tmp_path, {}).stat().st_mode & 0o777 == 0o700


def test_the_variable_overrides(tmp_path: Path) -> None:
    (tmp_path / ".ecloud").mkdir()
    chosen = {"ECLOUD_HOME": str(tmp_path / "elsewhere" / "deep")}
    assert find(tmp_path, chosen) is None
    assert find_or_make(tmp_path, chosen) == tmp_path / "elsewhere" / "deep"
    assert find(tmp_path, chosen) == tmp_path / "elsewhere" / "deep"


def test_the_tree_of_results_is_in_plain_sight_beside_it(tmp_path: Path) -> None:
    assert tree_beside(tmp_path / ".ecloud") == tmp_path / "ecloud-data"


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".ecloud").write_text("")
    with pytest.raises(StateDirectoryError, match=r"cannot be made: File exists\. Set ECLOUD_HOME"):
        find_or_make(tmp_path, {})


def test_one_without_write_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ecloud").mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StateDirectoryError, match="you may not write into the state directory"):
        find_or_make(tmp_path, {})


def test_one_of_another_user_is_not_taken_by_chance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tmp_path / ".ecloud"
    theirs.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: theirs.stat().st_uid + 1)
    with pytest.raises(StateDirectoryError, match="belongs to another user"):
        find(tmp_path, {})
    assert find(tmp_path, {"ECLOUD_HOME": str(theirs)}) == theirs


def test_one_behind_a_closed_door_is_refused_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", closed)
    for environment in ({}, {"ECLOUD_HOME": str(tmp_path / "home")}):
        with pytest.raises(StateDirectoryError, match="cannot be looked at: Permission denied.*Set ECLOUD_HOME"):
            find(tmp_path, environment)


def test_a_tree_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "ecloud-data"
    refuse_tree_of_others(tree)  # it will be made
    tree.mkdir(mode=0o755)
    refuse_tree_of_others(tree)
    monkeypatch.setattr(os, "geteuid", lambda: tree.stat().st_uid + 1)
    with pytest.raises(StateDirectoryError, match="ecloud-data belongs to another user"):
        refuse_tree_of_others(tree)


def test_a_tree_that_everybody_may_write_into_is_refused(tmp_path: Path) -> None:
    tree = tmp_path / "ecloud-data"
    tree.mkdir()
    tree.chmod(0o777)
    with pytest.raises(StateDirectoryError, match="every user of this machine may write .* chmod o-w"):
        refuse_tree_of_others(tree)
    link = tmp_path / "link"
    link.symlink_to(tree)
    with pytest.raises(StateDirectoryError, match="chmod o-w"):
        refuse_tree_of_others(link)
