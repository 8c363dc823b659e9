"""Host keys: the pinned ones of a place, the one that a host shows, and how a key is printed."""

from __future__ import annotations

import base64
import hashlib

from boss.ssh.errors import HostKeyError
from boss.ssh.transport import Transport
from wire.messages import Place


def fingerprint_of(blob: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def pinned_keys(place: Place) -> dict[bytes, str]:
    """Key -> its type. Lines that are none are passed over: they match nothing."""
    found: dict[bytes, str] = {}
    for line in place.host_keys:
        words = line.split()
        try:
            found[base64.b64decode(words[1], validate=True)] = words[0]
        except (IndexError, ValueError):
            continue
    return found


def pinned_fingerprints(place: Place) -> list[str]:
    """Those that stand for a key (`SHA256:...`): their keys' types are not known."""
    return [line for line in place.host_keys if line.startswith("SHA256:")]


def verify(transport: Transport, place: Place) -> str:
    """The fingerprint of the pinned key that the host shows. Raises HostKeyError."""
    pinned = [*map(fingerprint_of, pinned_keys(place)), *pinned_fingerprints(place)]
    shown = fingerprint_of(bytes(transport.get_remote_server_key().asbytes()))
    if shown in pinned:
        return shown
    known = ", ".join(pinned) or "none"
    raise HostKeyError(
        f"the host at {place.host}:{place.port} shows the key {shown}, and pinned for this worker is "
        f"{known}: it is another machine, or was reinstalled; nothing was sent to it. If that is as it should be, "
        "start the agent there, then release the worker: admin.py release WORKER",
        shown,
    )
