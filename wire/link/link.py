"""The link: a thread that keeps one connection to the broker alive, and the calls of its user, which never block.

It knows nothing of what the bytes mean. Three promises to its user:

* events arrive one at a time through `received`, from the link's thread; the callback may only put them somewhere.
  If it raises, that is logged and the link lives on;
* `publish` never blocks. It answers False when not connected, when full, and for a payload above the limit. True
  means "will be sent while this connection lasts", no more: what a connection leaves unsent or unacknowledged is
  discarded, never sent in the next one, because an order that arrives late is worse than one that is said again;
* `Connected` comes after every required subscription was granted and presence was queued, so that whatever is
  published then follows presence, and every answer to it can be heard.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import threading
import time
from collections.abc import Callable

from wire.link.connection import BrokerConnection
from wire.link.events import Connected, Disconnected, LinkEvent
from wire.link.options import LinkOptions, tls_context
from wire.link.outbox import OutboundMessage, Outbox, Subscription, Subscriptions

logger = logging.getLogger(__name__)

_IDLE_SECONDS = 5.0


class Link:
    """`subscribe`, then `start`; `stop` at the end. All calls are safe from any thread."""

    def __init__(self, options: LinkOptions, received: Callable[[LinkEvent], None]) -> None:
        if options.tls is not None:
            tls_context(options.tls)  # an invalid file raises here, not in a thread that cannot connect
        self._options = options
        self._received = received
        self._outbox = Outbox(options.max_queued_bytes, options.max_queued_messages)
        self._subscriptions = Subscriptions()
        self._backoff = Backoff(options.reconnect_min_seconds, options.reconnect_max_seconds)
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._stopping = threading.Event()
        self._stop_by = 0.0
        self._flushed = False
        self._last_reason = ""
        self._thread = threading.Thread(target=self._run, name=f"link-{options.client_id}", daemon=True)

    # -- the user's calls ---------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def subscribe(self, topic: str, qos: int = 1, required: bool = True) -> None:
        """Read this topic, now and after every reconnection."""
        _check_filter(topic)
        self._subscriptions.add(Subscription(topic, qos, required))
        self._wake_up()

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> bool:
        """Queue a message for the present connection. False: it will not be sent (see the module)."""
        if len(payload) > self._options.max_payload_bytes:
            logger.error(
                "a message of %d bytes for %s is above the limit of %d and is not sent: its maker has to split it",
                len(payload), topic, self._options.max_payload_bytes, extra={"action": "refuse_message"},
            )  # fmt: skip
            return False
        _check_topic(topic)
        taken = self._outbox.put(OutboundMessage(topic, payload, qos, retain))
        if taken:
            self._wake_up()
        return taken

    def stop(self, timeout: float = 5.0) -> bool:
        """Publish offline presence, wait up to `timeout` for what is unacknowledged, disconnect.

        True: the broker has acknowledged everything. Events may still come until it returns.
        """
        self._outbox.refuse_more()
        self._stop_by = time.monotonic() + timeout
        self._stopping.set()
        self._wake_up()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout + 1.0)
        return self._flushed

    # -- the thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                reason = self._one_connection()
            except Exception as error:  # whatever paho or a broker comes up with must not stop this thread
                logger.exception("the link failed and reconnects", extra={"action": "reconnect"})
                reason = f"the link failed: {error!r}"
            self._outbox.close()
            self._backoff.ended(time.monotonic() - began)
            self._report_disconnected(reason)
            # `subscribe` and `publish` do not shorten it; `stop` does.
            self._stopping.wait(self._backoff.pause(random.random()))
        self._outbox.close()

    def _one_connection(self) -> str:
        """Live one connection to its end, and say why it ended."""
        connection = BrokerConnection(self._options, self._outbox, self._emit, self._granted, self._wake_read)
        connection.open()
        try:
            asked = False
            while connection.ended is None and not self._stopping.is_set():
                if connection.turn(min(_IDLE_SECONDS, self._options.keepalive_seconds / 3)):
                    self._drain_wake()
                if connection.logged_in and connection.ended is None:
                    self._subscribe(connection, all_topics=not asked)
                    asked = True
            if connection.ended is None:
                self._leave(connection)
        finally:
            connection.abandon("closed")
        return connection.ended or "closed"

    def _subscribe(self, connection: BrokerConnection, all_topics: bool) -> None:
        """Subscribe to everything in a new connection, later to what is new."""
        if all_topics:
            connection.subscribe(self._subscriptions.all())
            return
        for subscription in self._subscriptions.added():
            connection.subscribe([subscription])

    def _granted(self) -> None:
        presence = self._options.presence
        self._last_reason = ""
        if presence is not None:
            self._outbox.put_last(OutboundMessage(presence.topic, presence.online, qos=1, retain=True))
        if not self._stopping.is_set():
            self._outbox.open()
        self._emit(Connected())

    def _leave(self, connection: BrokerConnection) -> None:
        presence = self._options.presence
        if connection.granted and presence is not None:
            self._outbox.put_last(OutboundMessage(presence.topic, presence.offline, qos=1, retain=True))
        while connection.ended is None and not connection.idle() and time.monotonic() < self._stop_by:
            connection.turn(max(0.0, min(0.5, self._stop_by - time.monotonic())))
            self._drain_wake()
        self._flushed = connection.ended is None and connection.idle()
        if connection.ended is None:
            connection.leave()
        while connection.ended is None and time.monotonic() < self._stop_by + 0.5:
            connection.turn(0.1)

    def _emit(self, event: LinkEvent) -> None:
        try:
            self._received(event)
        except Exception:
            logger.exception("the receiver of %s failed; the event is lost", type(event).__name__,
                             extra={"action": "drop_event"})  # fmt: skip

    def _report_disconnected(self, reason: str) -> None:
        if reason != self._last_reason and not self._stopping.is_set():
            self._last_reason = reason
            logger.info("%s; trying again", reason, extra={"action": "reconnect"})
            self._emit(Disconnected(reason))

    def _wake_up(self) -> None:
        with contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
            os.write(self._wake_write, b"1")

    def _drain_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    def __del__(self) -> None:
        for fd in (getattr(self, "_wake_read", None), getattr(self, "_wake_write", None)):
            if fd is not None:
                os.close(fd)


class Backoff:
    """How long to wait before the next attempt to connect: doubles from `min_seconds` to `max_seconds`.

    It starts again after a connection that lasted. Chance and lifetimes are handed in.
    """

    def __init__(self, min_seconds: float, max_seconds: float) -> None:
        self._min = min_seconds
        self._max = max_seconds
        self._next = min_seconds

    def ended(self, lasted: float) -> None:
        """A connection has ended. A short one changes nothing: a client that is thrown out at once is no storm."""
        if lasted >= self._max / 2:
            self._next = self._min

    def pause(self, chance: float) -> float:
        """Seconds to wait now; `chance` is in [0, 1). A thousand workers must not return in one instant."""
        pause = self._next * (0.5 + chance / 2)
        self._next = min(self._next * 2, self._max)
        return pause


def _check_topic(topic: str) -> None:
    """A topic that paho or the broker would refuse is a mistake of the caller: say so where it was made."""
    if not topic or "+" in topic or "#" in topic or "\0" in topic or len(topic.encode()) > 65535:
        raise ValueError(f"{topic!r} is no topic to publish on")


def _check_filter(topic: str) -> None:
    levels = topic.split("/")
    stray = any(("#" in level or "+" in level) and len(level) > 1 for level in levels) or "#" in levels[:-1]
    if not topic or stray or "\0" in topic or len(topic.encode()) > 65535:
        raise ValueError(f"{topic!r} is no topic to subscribe to")
