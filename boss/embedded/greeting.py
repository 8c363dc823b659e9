"""Ask a broker whether it accepts a login: CONNECT, wait for CONNACK, leave. MQTT 3.1.1 by hand, no library.

The parts that stand beside each other here may not use one another, so this is not done through `wire.link`.
"""

from __future__ import annotations

import os
import socket


def accepts_login(host: str, port: int, username: str, password: str, timeout: float = 2.0) -> bool | None:
    """True or False as the broker says; None when it does not answer (yet)."""
    client_id = f"probe-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        with socket.create_connection((host, port), timeout) as connection:
            connection.sendall(_connect_packet(client_id, username, password))
            answer = _read(connection, 4)
            if len(answer) < 4 or answer[0] != 0x20:
                return None
            if answer[3] == 0:
                connection.sendall(b"\xe0\x00")
            return answer[3] == 0
    except OSError:
        return None


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            break
        data += part
    return data


def _connect_packet(client_id: str, username: str, password: str) -> bytes:
    login = _text(username) + _text(password) if username else b""
    flags = 0x02 | (0xC0 if username else 0)  # clean session; username and password follow
    body = _text("MQTT") + bytes([4, flags, 0, 10]) + _text(client_id) + login
    return b"\x10" + _length(len(body)) + body


def _text(value: str) -> bytes:
    data = value.encode()
    return len(data).to_bytes(2, "big") + data


def _length(value: int) -> bytes:
    """MQTT's variable-length number: seven bits a byte, the eighth says that more follow."""
    parts = []
    while True:
        value, digit = divmod(value, 128)
        parts.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(parts)
