"""Giving names: from incoming into plain sight, each file or folder by one rename, the version that was there kept as
blobs.

Used by publishing and by the storing of sent files, from two threads; a lock lets one of them rename at a time.
It knows nothing of attempts and records.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable
from contextlib import closing
from typing import NamedTuple

from datastore.disk.beneath import PathMissingError, PathObstructedError, kind_of, open_folder, split
from datastore.disk.content import hex_of
from datastore.disk.folders import files_below, put_in_place
from datastore.disk.index import Index
from datastore.disk.syncs import sync_many, sync_one
from datastore.disk.tree import Tree
from datastore.paths import folders_of, shown

#: Folders kept open at once while names are given.
_OPEN_FOLDERS = 200


class Rename(NamedTuple):
    #: Path below incoming.
    source: str
    name: str
    digest: str


class FolderRename(NamedTuple):
    #: Path below incoming, of the folder with this inode: another one there is the former folder.
    source: str
    inode: int
    name: str
    #: Name -> digest of the files in it.
    digests: dict[str, str]


class Names:
    def __init__(self, tree: Tree, index: Index) -> None:
        self._tree = tree
        self._index = index
        self._lock = threading.Lock()

    def obstacles(self, groups: Iterable[Iterable[str]]) -> list[str]:
        """For each group of names why one of them cannot be given, as things stand; empty: all can. Changes nothing."""
        with closing(_Folders(self._tree.fd, make=False)) as folders:
            return [self._obstacle(folders, names) for names in groups]

    def obstacle_of_folders(self, names: Iterable[str]) -> str:
        """Why one of these cannot be given to a folder, as `obstacles`. What stands there would be replaced."""
        with closing(_Folders(self._tree.fd, make=False)) as folders:
            return self._obstacle(folders, names, folder=True)

    def _obstacle(self, folders: _Folders, names: Iterable[str], folder: bool = False) -> str:
        for name in names:
            try:
                self._check(folders, name, folder)
            except PathObstructedError as error:
                return str(error)
        return ""

    def give(
        self, moves: list[Rename], also_sync: Iterable[str] = (), folder_moves: Iterable[FolderRename] = ()
    ) -> None:
        """Give all names, durably. Raises PathObstructedError, OSError; may be repeated with the moves that are left.

        `also_sync`: further names whose folders are to be durable.
        """
        with self._lock, closing(_Folders(self._tree.fd, make=True)) as folders:
            formers = [former for move in moves if (former := self._keep_former(folders, move)) is not None]
            left = [move for move in folder_moves if self._is_left(move)]
            for folder_move in left:
                formers += self._keep_former_folder(folders, folder_move)
            if formers:
                sync_one(self._tree.blobs)  # the former version must be found before its name is another's
            for move in moves:
                folder, base = split(move.name)
                os.rename(
                    move.source, base, src_dir_fd=self._tree.incoming, dst_dir_fd=folders.open(folder)
                )  # fmt: skip
            for folder_move in left:
                folder, base = split(folder_move.name)
                put_in_place(self._tree.incoming, folder_move.source, folders.open(folder), base)
            self._sync({move.name for move in moves} | {move.name for move in left} | set(also_sync))
            self._drop_digests(formers)

    def keep_blob(self, source: str, digest: str) -> None:
        """Let a file in incoming be found by its digest too, whatever happens to its name.

        A blob that is there already is replaced: it may share its bytes with a file that was edited.
        """
        if not _link(source, self._tree.incoming, hex_of(digest), self._tree.blobs):
            _link(source, self._tree.incoming, "replacing", self._tree.blobs)
            os.replace("replacing", hex_of(digest), src_dir_fd=self._tree.blobs, dst_dir_fd=self._tree.blobs)

    def _check(self, folders: _Folders, name: str, folder: bool) -> None:
        above, deepest = folders.deepest(name)
        status = os.fstat(deepest)
        if status.st_dev != self._tree.device:
            raise PathObstructedError(
                f"{shown(above)} is on another file system than the tree; a rename cannot reach it"
            )
        if above != split(name)[0]:
            return
        try:
            there = os.stat(split(name)[1], dir_fd=deepest, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(there.st_mode) and not folder:
            raise PathObstructedError(f"{shown(name)} is a folder on the datastore")
        if there.st_dev != self._tree.device:
            raise PathObstructedError(
                f"{shown(name)} is a file system of its own on the datastore; it cannot be replaced"
            )

    def _keep_former(self, folders: _Folders, move: Rename) -> tuple[str, int] | None:
        """Before another version takes its name: a blob of the one that is there, if a task may know its digest.

        Returns the name and the inode that was there.
        """
        folder, base = split(move.name)
        parent = folders.open(folder)
        try:
            status = os.stat(base, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if stat.S_ISDIR(status.st_mode):
            raise PathObstructedError(f"{shown(move.name)} is {kind_of(status.st_mode)} on the datastore: move it away")
        former = self._index.digest(move.name, status) if stat.S_ISREG(status.st_mode) else None
        if former is None:
            return None
        if former != move.digest:
            _link(base, parent, hex_of(former), self._tree.blobs)
        return move.name, status.st_ino

    def _is_left(self, move: FolderRename) -> bool:
        """False: it has its name already, from an earlier try."""
        try:
            there = os.stat(move.source, dir_fd=self._tree.incoming, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return there.st_ino == move.inode

    def _keep_former_folder(self, folders: _Folders, move: FolderRename) -> list[tuple[str, int]]:
        """As `_keep_former`, of all files of the folder, or of the file, that a folder is to replace."""
        folder, base = split(move.name)
        parent = folders.open(folder)
        try:
            status = os.stat(base, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return []
        if not stat.S_ISDIR(status.st_mode):
            former = self._keep_former(folders, Rename(move.source, move.name, ""))
            return [former] if former is not None else []
        formers = []
        for inner, fd, file, about in files_below(parent, base):
            name = f"{move.name}/{inner}"
            digest = self._index.digest(name, about) if stat.S_ISREG(about.st_mode) else None
            if digest is not None:
                if digest != move.digests.get(name):
                    _link(file, fd, hex_of(digest), self._tree.blobs)
                formers.append((name, about.st_ino))
        return formers

    def _drop_digests(self, formers: list[tuple[str, int]]) -> None:
        try:
            if formers:
                self._index.drop_digests(formers)
        except OSError:  # rows that match nothing any more; they do no harm
            pass

    def _sync(self, names: set[str]) -> None:
        """The folders of these names, and those above them, which may be new."""
        folders = {""} if names else set()
        for name in names:
            folders.update(folders_of(name))
        sync_many(self._tree.fd, sorted(folders), lambda folder: open_folder(self._tree.fd, folder))


def _link(source: str, source_fd: int, target: str, target_fd: int) -> bool:
    try:
        os.link(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd, follow_symlinks=False)
    except FileExistsError:
        return False
    return True


class _Folders:
    """Open folders of the tree, so that ten thousand names in one folder open it once."""

    def __init__(self, root: int, make: bool) -> None:
        self._root = root
        self._make = make
        self._open: dict[str, int] = {}

    def open(self, folder: str) -> int:
        fd = self._open.get(folder)
        if fd is None:
            if len(self._open) >= _OPEN_FOLDERS:
                self.close()
            fd = self._open[folder] = open_folder(self._root, folder, self._make)
        return fd

    def deepest(self, name: str) -> tuple[str, int]:
        """The nearest folder above the name that is there, with its path."""
        for folder in [*folders_of(name), ""]:
            try:
                return folder, self.open(folder)
            except PathMissingError:
                continue
        raise AssertionError("the root is always there")

    def close(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
