"""By which address this machine speaks to another one. Sends nothing."""

from __future__ import annotations

import socket


def own_address(host: str, port: int) -> str:
    """Of the interface that the route to `host` leaves by. Raises OSError: unknown name, no route."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(address)
        return str(probe.getsockname()[0])


def address_towards(host: str, port: int) -> str:
    """The same, or this machine's name where that is unknown (yet)."""
    try:
        return own_address(host, port)
    except OSError:
        return socket.gethostname()
