"""What moving and keeping the same files takes at least: rsync, digests and syncs as a script would do them."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.worlds.ssh_server import SshServer, public_key

_BLOCK = 1024 * 1024


def rsync_command(server: SshServer, source: Path, target: Path) -> list[str]:
    """All below `source` on the host to `target` here, over a connection of its own."""
    known = server.own / "known_hosts"
    if not known.exists():
        known.write_text(f"floor {public_key(server.host_key_file)}\n")
    shell = (
        f"ssh -F none -o BatchMode=yes -o HostKeyAlias=floor -o UserKnownHostsFile={known} -i {server.key}"
        f" -p {server.port}"
    )
    return ["rsync", "-r", "-e", shell, f"{server.user}@{server.host}:{source}/", f"{target}/"]


def rsync_all(commands: Iterable[list[str]]) -> None:
    """Side by side."""
    processes = [subprocess.Popen(command) for command in commands]
    if any([process.wait() for process in processes]):
        raise RuntimeError("a plain rsync failed")


def digest(path: Path | str) -> str:
    found = hashlib.blake2b(digest_size=32)
    with open(path, "rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return f"b2:{found.hexdigest()}"


def digest_all(folder: Path) -> int:
    """Every file below it; how many there were."""
    count = 0
    for above, _, names in os.walk(folder):
        for name in names:
            digest(f"{above}/{name}")
            count += 1
    return count


def sync_all(folder: Path) -> None:
    """Everything on its file system, as one sweep."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(fd) != 0:
            raise OSError(ctypes.get_errno(), "syncfs")
    finally:
        os.close(fd)


def sync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
