"""The two brokers that can be embedded: which is there, its configuration, and the command that starts it.

Mosquitto where it is installed, because it is faster by far and delivers last wills to the letter; else amqtt, which
comes with our own installation. Both: loopback by default, a login for every client, no persistence (nothing we do
depends on a broker's memory), a little more room for a message than our own limit.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from boss.embedded.errors import EmbeddedError
from boss.embedded.logins import ACCESS, PASSWORDS
from boss.embedded.ports import HOST, beyond, everywhere
from wire.codec import MAX_BYTES

Kind = Literal["mosquitto", "amqtt"]

#: What the broker accepts above our own limit: topic, header, and whatever a later version adds.
_ROOM_BYTES = 64 * 1024


class BrokerError(EmbeddedError):
    """The embedded broker cannot be had; says why, and what can be done."""


@dataclass(frozen=True)
class BrokerProgram:
    kind: Kind
    #: Writes the configuration for a port into the directory and returns the command line.
    prepare: Callable[[Path, int], list[str]]


def find_program(kind: Kind | None = None, listen: str = HOST) -> BrokerProgram:
    """The wanted one, or the best that is there. Only Mosquitto is let onto a network."""
    mosquitto = find_mosquitto() if kind in (None, "mosquitto") else None
    if mosquitto is not None:
        return BrokerProgram(
            "mosquitto", lambda directory, port: _prepare_mosquitto(mosquitto, directory, port, listen)
        )
    if kind == "mosquitto":
        raise BrokerError("no mosquitto of version 2 is found: install it (apt install mosquitto), or use amqtt")
    if beyond(listen):
        raise BrokerError(
            f"broker_listen is {listen}, and amqtt is for this machine alone: install Mosquitto "
            "(apt install mosquitto) and leave embedded_broker at auto, or take broker_listen away"
        )
    return BrokerProgram("amqtt", _prepare_amqtt)


def find_mosquitto() -> str | None:
    """Path of a Mosquitto of version 2 or later: older ones know neither our hashes nor a safe default."""
    path = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")
    if path is None:
        return None
    try:
        answer = subprocess.run([path, "-h"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r"version (\d+)\.", answer)
    return path if version and int(version[1]) >= 2 else None


def mosquitto_configuration(directory: Path, port: int, as_root: bool, listen: str = HOST) -> str:
    lines = [
        "# Written by the boss at each start; changes are lost.",
        *_listeners(port, listen),
        "allow_anonymous false",
        f"password_file {directory / PASSWORDS}",
        f"acl_file {directory / ACCESS}",
        "persistence false",
        "set_tcp_nodelay true",
        "# How much may be under way is the boss's own credit. These only bound what a stuck client costs.",
        "max_inflight_messages 100",
        "max_queued_messages 20000",
        f"max_queued_bytes {16 * MAX_BYTES}",
        f"max_packet_size {MAX_BYTES + _ROOM_BYTES}",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "log_type notice",
        "connection_messages true",
        "log_timestamp_format %Y-%m-%dT%H:%M:%S",
    ]
    if as_root:
        # Else it becomes the user `mosquitto`, who cannot (and should not) read the state directory.
        lines.append("user root")
    return "\n".join(lines) + "\n"


def _listeners(port: int, listen: str) -> list[str]:
    """On loopback for who is on this machine, and beside that at the wanted address."""
    if everywhere(listen):
        return [f"listener {port}"]
    return [f"listener {port} {address}" for address in dict.fromkeys((HOST, listen))]


def _prepare_mosquitto(program: str, directory: Path, port: int, listen: str) -> list[str]:
    path = directory / "mosquitto.conf"
    if any(character.isspace() and character != " " for character in str(directory)):
        raise BrokerError(f"the path {str(directory)!r} cannot stand in a configuration of Mosquitto: set ECLOUD_HOME")
    path.write_text(mosquitto_configuration(directory, port, os.geteuid() == 0, listen), encoding="utf-8")
    return [program, "-c", str(path)]


def _prepare_amqtt(directory: Path, port: int) -> list[str]:
    path = directory / "amqtt.json"
    limit = MAX_BYTES + _ROOM_BYTES
    path.write_text(json.dumps({"host": HOST, "port": port, "directory": str(directory), "max_bytes": limit}))
    return [sys.executable, "-m", "boss.embedded.amqtt_main", str(path)]
