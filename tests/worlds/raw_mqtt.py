"""MQTT 3.1.1 written out: for what no library of ours sends, and for a Python that has none. Standard library only."""

from __future__ import annotations

import socket


def connect_packet(client_id: str, username: str = "", password: str = "") -> bytes:
    """CONNECT of less than 128 bytes, with a clean session."""
    login = _text(username) + _text(password) if username else b""
    body = _text("MQTT") + bytes([4, 0xC2 if username else 0x02, 0, 10]) + _text(client_id) + login
    assert len(body) < 128
    return b"\x10" + bytes([len(body)]) + body


def connack(host: str, port: int, username: str = "", password: str = "") -> bytes:
    """What the broker answers to a login: four bytes, the last is the return code."""
    with socket.create_connection((host, port), 10) as connection:
        connection.sendall(connect_packet("raw", username, password))
        return connection.makefile("rb").read(4)


def _text(value: str) -> bytes:
    return len(value.encode()).to_bytes(2, "big") + value.encode()
