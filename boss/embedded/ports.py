"""Which port the embedded broker listens on: chosen once, used again while it is free, and proved to be its own.

Who is on this machine always reaches it on loopback; `everywhere` and `beyond` tell what a further address means.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import random
import socket
from pathlib import Path

from boss.embedded.errors import EmbeddedError

HOST = "127.0.0.1"

#: Below the range from which the kernel takes ports for outgoing connections, so that none of those sits on ours
#: when a later boss wants the same port again.
_FIRST, _LAST = 18_000, 31_999


class PortError(EmbeddedError):
    """No port is available."""


def everywhere(address: str) -> bool:
    """Is this the address that stands for all of a machine's?"""
    return address in ("0.0.0.0", "::")


def beyond(address: str) -> bool:
    """Does one who listens there hear other machines?"""
    try:
        return not ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address != "localhost"


def is_free(port: int, host: str = HOST) -> bool:
    """On loopback, and at `host` if that is another address."""
    return all(_is_free(port, address) for address in {HOST, "0.0.0.0" if everywhere(host) else host})


def _is_free(port: int, address: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE  # an address that is not ours is for the broker to refuse
        return True


def choose_port(host: str = HOST) -> int:
    for _ in range(200):
        port = random.randint(_FIRST, _LAST)
        if is_free(port, host):
            return port
    raise PortError(f"no free port found on {host} between {_FIRST} and {_LAST}")


def listens(pid: int, port: int) -> bool:
    """Does this very process listen there? A password is shown to no other process, whoever took the port meanwhile."""
    wanted = f":{port:04X}"
    inodes = set()
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table:
            fields = line.split()
            if fields[1].endswith(wanted) and fields[3] == "0A":  # 0A: LISTEN
                inodes.add(f"socket:[{fields[9]}]")
    return bool(inodes) and not inodes.isdisjoint(_open_files(pid))


def _open_files(pid: int) -> set[str]:
    try:
        return {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    except OSError:  # it ends, or closes a file while we look: the caller asks again
        return set()
