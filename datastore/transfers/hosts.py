"""What ssh needs to know of a worker's host: settings and known keys, from what the worker reported. Pure.

A worker is not trusted: whatever of its place goes into a file of settings must not be able to be anything else than
the host, user or key that it stands for.
"""

from __future__ import annotations

import re
from pathlib import Path

from datastore.paths import shown
from datastore.transfers.verdicts import RemoteEnd, TransferFailedError
from wire.messages import Place
from wire.topics import WORKER_ID

#: The name by which our settings know the host.
ALIAS = "worker"

_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9._:%-]{0,254}\Z")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}\Z")
_KEY = re.compile(r"([a-z0-9][a-z0-9@.-]{3,60}) ([A-Za-z0-9+/]{40,6000}={0,2})(?: [^\r\n]*)?\Z")

#: Of every connection. Nothing of the user's or the system's settings holds besides. The ciphers are ssh's own, but
#: first those that processors have instructions for: they take a third less of both sides' time.
_SETTINGS = """\
BatchMode yes
CanonicalizeHostname no
CheckHostIP no
Ciphers aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr
ClearAllForwardings yes
Compression no
ConnectTimeout 15
ConnectionAttempts 1
ForwardAgent no
ForwardX11 no
GlobalKnownHostsFile /dev/null
IdentitiesOnly yes
IdentityAgent none
LogLevel ERROR
PreferredAuthentications publickey
ProxyCommand none
RequestTTY no
ServerAliveCountMax 4
ServerAliveInterval 15
StrictHostKeyChecking yes
UpdateHostKeys no
VerifyHostKeyDNS no
"""


def remote_of(worker: str, place: Place) -> RemoteEnd:
    """Raises TransferFailedError (host) if the place cannot be one."""
    if not WORKER_ID.match(worker):
        raise TransferFailedError("host", f"{shown(worker)} is no worker's id")
    for what, text, pattern in (("address", place.host, _HOST), ("user", place.user, _USER)):
        if not pattern.match(text):
            raise TransferFailedError(
                "host", f"worker {worker!r} states {shown(text)} as its {what} for SSH, which cannot be one"
            )
    if not 0 < place.port < 65536:
        raise TransferFailedError("host", f"worker {worker!r} states the SSH port {place.port}, which cannot be one")
    if not place.path.startswith("/") or not place.path.isprintable():
        raise TransferFailedError(
            "host", f"worker {worker!r} states the home {shown(place.path)}, which is no absolute path"
        )
    return RemoteEnd(worker, place.user, place.host, place.port)


def known_hosts(worker: str, place: Place) -> str:
    """The file of keys that the host may show. Raises TransferFailedError (host)."""
    matches = [_KEY.match(line) for line in place.host_keys]
    lines = [f"{worker} {match[1]} {match[2]}\n" for match in matches if match is not None]
    if not lines:
        raise TransferFailedError(
            "host",
            f"worker {worker!r} states no SSH host key of {place.host}, so that it cannot be known: start its agent "
            "where it can read the host's public keys (ECLOUD_WORKER_SSH_HOST_KEYS)",
        )
    return "".join(lines)


def settings(remote: RemoteEnd, folder: Path, key: Path) -> str:
    """A file of settings for `ssh -F`. `folder` holds `known_hosts` and will hold the socket; its path needs no quotes.

    `key` too: a path without blanks and special characters.
    """
    own = {
        "HostName": remote.host.replace("%", "%%"),
        "Port": str(remote.port),
        "User": remote.user,
        "HostKeyAlias": remote.worker,
        "UserKnownHostsFile": str(folder / "known_hosts"),
        "IdentityFile": str(key),
        "ControlPath": str(folder / "socket"),
    }
    return "".join(f"{name} {value}\n" for name, value in own.items()) + _SETTINGS
