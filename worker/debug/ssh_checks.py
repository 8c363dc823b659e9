"""Can a datastore on another machine reach this one's home: sshd, its keys, the user's authorized_keys, rsync."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from worker.debug.broker_checks import CONNECT_SECONDS
from worker.debug.finding import Finding
from worker.options import WorkerOptions, host_keys

#: Older ones do not take names with any character safely.
OLDEST_RSYNC = (3, 1)


def check_ssh(options: WorkerOptions, address: str, datastore_key: str) -> Iterator[Finding]:
    """`datastore_key`: the public key that the boss knows the datastore by; empty: unknown."""
    yield _rsync()
    yield (sshd := _sshd(address, options.ssh_port))
    stated = {line.split()[1]: source for line, source in host_keys(options).items() if len(line.split()) > 1}
    yield _readable(options.ssh_host_keys, stated)
    if sshd.state == "ok" and stated:
        yield _presented(address, options.ssh_port, stated)
    yield from _user(options.ssh_user or pwd.getpwuid(os.geteuid()).pw_name, datastore_key)


def _rsync() -> Finding:
    did = "rsync --version"
    path = shutil.which("rsync")
    if path is None:
        return Finding("rsync", "FAILED", "it is not in the PATH", "install it: apt-get install rsync", did)
    said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    version = re.search(r"version v?(\d+)\.(\d+)[\d.]*", said)
    if version is None or (int(version[1]), int(version[2])) < OLDEST_RSYNC:
        what = said.partition("\n")[0] or "it says no version"
        return Finding("rsync", "FAILED", what, "install version 3.1 or later", did)
    return Finding("rsync", "ok", f"{path}, {version[0]}", did=did)


def _sshd(address: str, port: int) -> Finding:
    name, did = f"sshd at {address}:{port}", f"connect to {address}:{port}, read a line"
    try:
        with socket.create_connection((address, port), CONNECT_SECONDS) as connection:
            connection.settimeout(CONNECT_SECONDS)
            banner = connection.recv(64)
    except OSError as error:
        remedy = (
            "start it (apt-get install openssh-server; systemctl start ssh); check ECLOUD_WORKER_ADDRESS and "
            "ECLOUD_WORKER_SSH_PORT"
        )
        return Finding(name, "FAILED", str(error.strerror or error), remedy, did)
    if not banner.startswith(b"SSH-"):
        return Finding(name, "FAILED", "something else answers there", "check ECLOUD_WORKER_SSH_PORT", did)
    return Finding(name, "ok", banner.decode("ascii", "replace").strip(), did=did)


def _readable(pattern: str, stated: dict[str, str]) -> Finding:
    did = f"ls {pattern}"
    if not stated:
        remedy = "make them (ssh-keygen -A as root), or name them with ECLOUD_WORKER_SSH_HOST_KEYS"
        return Finding("host keys", "FAILED", f"no public key is readable as {pattern}", remedy, did)
    return Finding("host keys", "ok", ", ".join(stated.values()), did=did)


def _presented(address: str, port: int, stated: dict[str, str]) -> Finding:
    """What sshd shows must be among what the agent states: that is what the boss pins."""
    name, did = "host keys of sshd", f"ssh-keyscan -p {port} {address}"
    scan = shutil.which("ssh-keyscan")
    if scan is None:
        return Finding(name, "note", "not compared with those of the files: ssh-keyscan is not installed", did=did)
    done = subprocess.run(
        [scan, "-T", "5", "-p", str(port), address], capture_output=True, text=True, timeout=30, check=False
    )
    shown = {words[2] for line in done.stdout.splitlines() if len(words := line.split()) > 2 and words[0][0] != "#"}
    if not shown:
        return Finding(name, "note", "sshd shows none to ssh-keyscan", did=did)
    if not shown & set(stated):
        remedy = "name the files of the keys that this sshd uses with ECLOUD_WORKER_SSH_HOST_KEYS"
        return Finding(name, "FAILED", "sshd shows none of the keys that the agent states", remedy, did)
    return Finding(name, "ok", "among those that the agent states", did=did)


def _user(user: str, datastore_key: str) -> Iterator[Finding]:
    """What is usual; a sshd may be configured to look elsewhere, so a key that is not found is no failure."""
    name = f"login of the datastore as {user}"
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        yield Finding(name, "FAILED", "there is no such user", "check ECLOUD_WORKER_SSH_USER")
        return
    path = Path(account.pw_dir) / ".ssh" / "authorized_keys"
    did = f"grep ecloud-datastore {path}"
    too_open = [str(each) for each in (path, path.parent, path.parent.parent) if _others_may_write(each)]
    if too_open:
        remedy = f"chmod go-w {' '.join(too_open)}"
        yield Finding(name, "FAILED", "others may write what sshd trusts, so it refuses every key", remedy, did)
        return
    key = next((word for word in datastore_key.split() if word.startswith("AAAA")), "")
    if not key:
        yield Finding(name, "note", "not looked for: admin.py debug_worker and admin.py init tell the key")
        return
    try:
        there = key in path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        yield Finding(name, "note", f"{path}: {error.strerror}; unless sshd reads another file, the key is missing: "
                      f"add the line: restrict {datastore_key}", did=did)  # fmt: skip
        return
    if there:
        yield Finding(name, "ok", f"its key is in {path}", did=did)
    else:
        words = f"its key is not in {path}; unless sshd reads another file, add the line: restrict {datastore_key}"
        yield Finding(name, "note", words, did=did)


def _others_may_write(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o022)
    except OSError:
        return False
