"""amqtt's side of logins and rights: the broker that reads our two files and bounds what a client may send.

The files are read again at every login, so a login that was added counts at once. Three gaps of amqtt are closed
here: it accepts any client's last will for any topic, has no limit for a packet, and asks its plugins across the event
loop while it walks through its subscriptions (a client that subscribes meanwhile breaks the walk, and a message is
lost). What stays open is listed in docs/decisions/0011.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import Action
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session

from boss.embedded.errors import EmbeddedError
from boss.embedded.logins import Right, allowed, read_access, read_passwords, verify

logger = logging.getLogger(__name__)


class PacketTooLargeError(EmbeddedError):
    """A client announced more bytes than a message may have."""


class LoginPlugin(BaseAuthPlugin):
    """Accepts who has a password in the file, and whose last will goes where it may publish."""

    @dataclass
    class Config:
        directory: str

    async def authenticate(self, *, session: Session) -> bool:
        directory = Path(self.config.directory)
        username = session.username or ""
        stored = read_passwords(directory).get(username)
        if not stored or not verify(session.password or "", stored):
            logger.warning("login of %r refused", username)
            return False
        if session.will_flag and not allowed(read_access(directory), username, "write", session.will_topic or ""):
            logger.warning("login of %r refused: its last will is for %r", username, session.will_topic)
            return False
        return True


class AccessPlugin(BaseTopicPlugin):
    """Lets a client publish and subscribe where the file says so."""

    @dataclass
    class Config:
        directory: str

    async def topic_filtering(
        self, *, session: Session | None = None, topic: str | None = None, action: Action | None = None
    ) -> bool:
        directory = Path(self.config.directory)
        return may(read_access(directory), session, topic, action)


def may(access: dict[str, list[Right]], session: Session | None, topic: str | None, action: Action | None) -> bool:
    username = session.username if session is not None else None
    verb: Literal["read", "write"] = "write" if action == Action.PUBLISH else "read"
    return bool(username and topic and allowed(access, username, verb, topic))


class GuardedBroker(Broker):
    """amqtt's broker with bounded packets, and the rights looked up without leaving the walk (see above)."""

    def __init__(self, config: dict[str, Any], directory: Path, max_bytes: int) -> None:
        super().__init__(config)
        self._directory = directory
        self._max_bytes = max_bytes
        self._access: dict[str, list[Right]] = {}
        self._access_of: tuple[int, int] | None = None

    async def _topic_filtering(self, session: Session, topic: str, action: Action) -> bool:
        return may(self._present_access(), session, topic, action)

    def _present_access(self) -> dict[str, list[Right]]:
        status = (self._directory / "access").stat()
        if self._access_of != (status.st_mtime_ns, status.st_ino):
            self._access = read_access(self._directory)
            self._access_of = (status.st_mtime_ns, status.st_ino)
        return self._access

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        limited = LimitedReader(reader, self._max_bytes)
        await self.external_connected(limited, StreamWriterAdapter(writer), listener_name)


class LimitedReader(StreamReaderAdapter):
    """Refuses to read more at once than a message may have; amqtt then closes the connection."""

    def __init__(self, reader: asyncio.StreamReader, max_bytes: int) -> None:
        super().__init__(reader)
        self._max_bytes = max_bytes

    async def read(self, n: int = -1) -> bytes:
        if n > self._max_bytes:
            raise PacketTooLargeError(f"a packet of {n:,} bytes is above the limit of {self._max_bytes:,}")
        return await super().read(n)
