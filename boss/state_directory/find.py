"""Where the state directory is, and whether it may be there.

It is found as git finds `.git`: `.ecloud` in the current directory or above it; ECLOUD_HOME overrides. It
knows nothing of what lies in it. Refused with a sentence: one on a network file system, one that another
user owns, one that cannot be written.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

NAME = ".ecloud"
VARIABLE = "ECLOUD_HOME"
TREE = "ecloud-data"

#: SQLite's write-ahead log and flock are not safe on these.
NETWORK_FILE_SYSTEMS = frozenset(
    "nfs nfs4 cifs smb3 smbfs 9p v9fs afs ceph lustre gpfs beegfs glusterfs ncpfs coda ocfs2 gfs2 orangefs pvfs2 drvfs "
    "fuse.sshfs fuse.glusterfs fuse.ceph fuse.ceph-fuse fuse.s3fs fuse.rclone fuse.gcsfuse fuse.juicefs fuse.davfs "
    "fuse.curlftpfs fuse.goofys fuse.vmhgfs-fuse vboxsf davfs".split()
)


class StateDirectoryError(Exception):
    """The state directory cannot be where it is; one sentence that says why and what to do."""


def find(start: Path | None = None, environment: Mapping[str, str] | None = None) -> Path | None:
    """The state directory that is there already, or None."""
    chosen = _chosen(environment)
    if chosen is not None:
        return chosen if _is_there(chosen) else None
    here = (start or Path.cwd()).absolute()
    for directory in (here, *here.parents):
        candidate = directory / NAME
        if _is_there(candidate):
            _refuse_of_another_user(candidate)
            return candidate
    return None


def _is_there(directory: Path) -> bool:
    try:
        return directory.is_dir()
    except OSError as error:
        reason = f"the state directory {directory} cannot be looked at: {error.strerror}. {_ELSEWHERE}"
        raise StateDirectoryError(reason) from None


def find_or_make(start: Path | None = None, environment: Mapping[str, str] | None = None) -> Path:
    """The state directory, made if there is none, checked to be one that can be used."""
    path = find(start, environment) or _chosen(environment) or (start or Path.cwd()).absolute() / NAME
    refuse_network_file_system(path)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_uid == os.geteuid():
            path.chmod(0o700)
    except OSError as error:
        raise StateDirectoryError(
            f"the state directory {path} cannot be made: {error.strerror}. {_ELSEWHERE}"
        ) from None
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise StateDirectoryError(f"you may not write into the state directory {path}. {_ELSEWHERE}")
    return path


def tree_beside(state_directory: Path) -> Path:
    """The datastore's tree where none is set: in plain sight, because results are what the user came for."""
    return state_directory.parent / TREE


def refuse_tree_of_others(tree: Path) -> None:
    """Results would be where another user can change them, or put links in their way. Raises StateDirectoryError."""
    try:
        status, real = tree.lstat(), tree.stat()
    except FileNotFoundError:
        return  # it will be made
    except OSError as error:
        raise StateDirectoryError(f"the datastore's tree {tree} cannot be used: {error.strerror}") from None
    owner = next((one.st_uid for one in (status, real) if one.st_uid != os.geteuid()), None)
    if owner is not None:
        raise StateDirectoryError(
            f"the datastore's tree {tree} belongs to another user (uid {owner}). Work in another directory, or set "
            "datastore_tree to one of your own"
        )
    if real.st_mode & stat.S_IWOTH:
        raise StateDirectoryError(
            f"every user of this machine may write into the datastore's tree {tree}. Close it: chmod o-w {tree}"
        )


_ELSEWHERE = f"Set {VARIABLE} to a directory on a local disk that you may write."


def _chosen(environment: Mapping[str, str] | None) -> Path | None:
    text = (os.environ if environment is None else environment).get(VARIABLE, "").strip()
    return Path(text).expanduser().absolute() if text else None


def _refuse_of_another_user(path: Path) -> None:
    """Its settings would be ours: a directory that another user left in, say, /tmp must not be found by chance."""
    owner = path.stat().st_uid
    if owner != os.geteuid():
        raise StateDirectoryError(
            f"the state directory {path} belongs to another user (uid {owner}). Work in another directory, "
            f"or name it with {VARIABLE} if you mean it."
        )


def refuse_network_file_system(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> None:
    try:
        kind = file_system_of(path, mounts.read_text(errors="surrogateescape"))
    except OSError:
        return  # no such list here: nothing to tell it by
    if kind in NETWORK_FILE_SYSTEMS:
        raise StateDirectoryError(
            f"the state directory {path} would be on a network file system ({kind}), where a database and its lock "
            f"are not safe. {_ELSEWHERE}"
        )


def file_system_of(path: Path, mounts: str) -> str:
    """The type of the file system that holds `path`, by the text of mountinfo; empty if unknown.

    By name and not by statfs's number: one number stands for everything that is mounted through FUSE.
    """
    resolved = path.resolve()
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        words = fields.split(" ")
        if len(words) < 5 or not rest:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), words[4]))
        # Of two on one point the later one hides the earlier.
        if (resolved == point or point in resolved.parents) and len(point.parts) >= best:
            best, kind = len(point.parts), rest.split(" ")[0]
    return kind
