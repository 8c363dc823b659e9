"""Who may log in at the embedded broker and which topics each may use: as values, and as the two files of Mosquitto.

Both brokers read the same two files (the other one through `boss.embedded.amqtt_access`), so there is one truth.
Passwords are kept as PBKDF2-SHA512 in Mosquitto's `$7$` form; they are long and random, so few rounds are enough.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from boss.common.private_files import write_private
from boss.embedded.errors import EmbeddedError
from wire.topics import WORKER_ID, Topics

Role = Literal["boss", "datastore", "worker"]

#: One right: to `read` (subscribe to, be sent), `write` (publish), or both, on all topics that a filter matches.
Right = tuple[Literal["read", "write", "readwrite"], str]

PASSWORDS = "passwords"
ACCESS = "access"

_ROUNDS = 101
_SALT_BYTES = 12
_USERNAME = re.compile(r"[A-Za-z0-9@][A-Za-z0-9@_.-]{0,62}\Z")


class LoginError(EmbeddedError):
    """A login that cannot be; says which and why."""


@dataclass(frozen=True)
class MqttLogin:
    """A worker's username is its worker id. Boss and datastore may be called anything that no worker is called."""

    username: str
    password: str = field(repr=False)
    role: Role

    def __post_init__(self) -> None:
        pattern = WORKER_ID if self.role == "worker" else _USERNAME
        if not pattern.match(self.username):
            raise LoginError(f"{self.username!r} cannot be the MQTT login of a {self.role}")
        if not self.password:
            raise LoginError(f"the MQTT login {self.username!r} has no password")


def rights(login: MqttLogin, topics: Topics) -> list[Right]:
    """All that this login may do; everything else is forbidden to it."""
    if login.role == "boss":
        return [("readwrite", f"{topics.prefix}/#")]
    boss: Right = ("read", topics.boss_presence)
    if login.role == "datastore":
        return [
            boss,
            ("read", topics.datastore_orders),
            ("write", topics.datastore_reports),
            ("write", topics.datastore_presence),
        ]
    worker = login.username
    return [
        boss,
        ("read", topics.orders(worker)),
        ("write", topics.reports(worker)),
        ("write", topics.presence(worker)),
        ("write", topics.output(worker)),
    ]


def hashed(password: str, salt: bytes | None = None, rounds: int = _ROUNDS) -> str:
    salt = os.urandom(_SALT_BYTES) if salt is None else salt
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
    return f"$7${rounds}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def verify(password: str, stored: str) -> bool:
    try:
        _, kind, rounds, salt, _digest = stored.split("$")
        expected = hashed(password, base64.b64decode(salt), int(rounds)) if kind == "7" else ""
    except ValueError:
        return False
    return hmac.compare_digest(expected.encode(), stored.encode())


def write_files(directory: Path, logins: Iterable[MqttLogin], topics: Topics) -> None:
    """Replace both files, each at once, readable by their owner only."""
    known: dict[str, MqttLogin] = {}
    for login in logins:
        if known.setdefault(login.username, login).role != login.role:
            raise LoginError(f"the MQTT login {login.username!r} is both {known[login.username].role} and {login.role}")
        known[login.username] = login
    write_private(
        directory / PASSWORDS, "".join(f"{each.username}:{hashed(each.password)}\n" for each in known.values())
    )
    write_private(directory / ACCESS, "".join(_access_section(each, topics) for each in known.values()))


def _access_section(login: MqttLogin, topics: Topics) -> str:
    lines = [f"user {login.username}", *(f"topic {action} {topic}" for action, topic in rights(login, topics))]
    return "\n".join(lines) + "\n\n"


def read_passwords(directory: Path) -> dict[str, str]:
    lines = (directory / PASSWORDS).read_text(encoding="utf-8").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def read_access(directory: Path) -> dict[str, list[Right]]:
    access: dict[str, list[Right]] = {}
    user = ""
    for line in (directory / ACCESS).read_text(encoding="utf-8").splitlines():
        word, _, rest = line.partition(" ")
        if word == "user":
            user = rest
        elif word == "topic":
            action, _, topic = rest.partition(" ")
            if action in ("read", "write", "readwrite"):
                access.setdefault(user, []).append((action, topic))  # type: ignore[arg-type]  # just compared
    return access


def allowed(access: Mapping[str, list[Right]], username: str, action: Literal["read", "write"], topic: str) -> bool:
    """May this user publish to (`write`) or subscribe to (`read`) this topic or filter?"""
    return any(right in (action, "readwrite") and covers(pattern, topic) for right, pattern in access.get(username, ()))


def covers(pattern: str, topic: str) -> bool:
    """Does the pattern contain everything that `topic`, itself perhaps a filter, can match?"""
    ours, theirs = pattern.split("/"), topic.split("/")
    for position, level in enumerate(ours):
        if level == "#":
            return True
        if position >= len(theirs) or theirs[position] == "#":
            return False
        if level not in ("+", theirs[position]):
            return False
    return len(ours) == len(theirs)
