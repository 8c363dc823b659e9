"""One connection to the broker, from CONNECT to its end, driven by one thread through paho's external-loop calls.

It is made for one attempt and thrown away after it, so nothing of an earlier connection (messages under way,
resolved subscriptions, packet ids) can leak into the next. paho is touched by this thread only; a wake-up pipe
brings in what other threads put into the outbox. `poll` instead of paho's own loop, because that one uses `select`,
which fails in a process with more than 1,024 open files, and because an exception in it ends its thread silently.

    connecting -> logged in (CONNACK) -> granted (SUBACK of all required topics) -> ended
"""

from __future__ import annotations

import logging
import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv311, error_string
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from wire.link.events import LinkEvent, Received, SubscriptionRefused
from wire.link.options import LinkOptions, tls_context
from wire.link.outbox import OutboundMessage, Outbox, Subscription

logger = logging.getLogger(__name__)

#: Packets read at most before what is to be written gets its turn.
_READS_PER_TURN = 50


class BrokerConnection:
    """`open`, then `turn` until `ended` holds a reason. Never raises on what the network does."""

    def __init__(
        self,
        options: LinkOptions,
        outbox: Outbox,
        emit: Callable[[LinkEvent], None],
        granted: Callable[[], None],
        wake_fd: int,
    ) -> None:
        self._options = options
        self._outbox = outbox
        self._emit = emit
        self._on_granted = granted
        self._client = _client(options)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_subscribe = self._subscribed
        self._client.on_message = self._message
        self._client.on_publish = self._published
        self._client.on_socket_open = _send_at_once
        # Without this one paho would write from within publish(); the value itself is not needed.
        self._client.on_socket_register_write = _ignore
        self._poll = select.poll()
        self._poll.register(wake_fd, select.POLLIN)
        #: Packet id -> size of what was handed to paho and is not at the broker yet.
        self._in_flight: dict[int, int] = {}
        #: Packet id -> topics of a SUBSCRIBE that is not answered.
        self._asked: dict[int, list[Subscription]] = {}
        #: When bytes last went out or an answer came in.
        self._progress_at = 0.0
        self._leaving = False
        self.logged_in = False
        self.granted = False
        #: Why it is over; None while it lives.
        self.ended: str | None = None

    # -- the thread's calls --------------------------------------------------------------------------

    def open(self) -> None:
        """Make the TCP (and TLS) connection and send CONNECT. Blocks up to `connect_seconds`."""
        self._progress_at = time.monotonic()
        options = self._options
        try:
            self._client.connect(options.host, options.port, options.keepalive_seconds)
        except (OSError, ValueError) as error:  # ValueError: a host name that cannot be one
            self.ended = f"cannot connect to the broker at {options.host}:{options.port}: {error}"

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """Ask for these topics. With none, the connection is granted at once."""
        if not subscriptions:
            self._grant_if_complete()
            return
        result, packet_id = self._client.subscribe([(each.topic, each.qos) for each in subscriptions])
        if result == MQTTErrorCode.MQTT_ERR_SUCCESS and packet_id is not None:
            self._asked[packet_id] = list(subscriptions)
            self._progress_at = time.monotonic()

    def turn(self, timeout: float) -> bool:
        """Read, write and watch the clock once; waits up to `timeout` seconds. True: the wake-up pipe has something."""
        self._hand_over()
        woken = self._wait(timeout)
        if self.ended is None:
            self._client.loop_misc()
            self._watch_answers()
        return woken

    def idle(self) -> bool:
        """Nothing waits for the broker."""
        return not self._in_flight and not self._outbox.unsettled()

    def leave(self) -> None:
        """Say DISCONNECT, so that the last will is not published, then end."""
        self._leaving = True
        self._client.disconnect()

    def abandon(self, reason: str) -> None:
        """End now, without a word to the broker."""
        self._end(reason)
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            sock.close()

    # -- inside a turn -------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        """Give paho as much of the outbox as may be under way."""
        if not self.granted or self.ended is not None:
            return
        for message in self._outbox.take(self._options.max_in_flight - len(self._in_flight)):
            self._publish(message)

    def _publish(self, message: OutboundMessage) -> None:
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain)
        if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            if not self._in_flight:
                self._progress_at = time.monotonic()
            self._in_flight[info.mid] = message.size
        else:
            self._end(f"cannot publish: {error_string(info.rc)}")

    def _wait(self, timeout: float) -> bool:
        sock: Any = self._client.socket()
        if sock is None:
            self._end("the connection is closed")
            return False
        fd = sock.fileno()
        self._poll.register(fd, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
        pending = _pending(sock)
        ready = dict(self._poll.poll(0 if pending else timeout * 1000))
        self._poll.unregister(fd)
        events = ready.pop(fd, 0)
        if events & ~select.POLLOUT or pending:
            self._read(sock, fd)
        if events & select.POLLOUT and self._client.socket() is sock:
            self._client.loop_write()
            self._progress_at = time.monotonic()
        return bool(ready)

    def _read(self, sock: Any, fd: int) -> None:
        more = select.poll()
        more.register(fd, select.POLLIN)
        for _ in range(_READS_PER_TURN):
            self._client.loop_read()
            if self._client.socket() != sock or not (_pending(sock) or more.poll(0)):
                return

    def _watch_answers(self) -> None:
        """A broker that took a packet and never answers holds everything behind it: leave it."""
        waiting = self._in_flight or self._asked or not self.logged_in
        if waiting and time.monotonic() - self._progress_at > self._options.answer_seconds:
            self.abandon(f"the broker has not answered for {self._options.answer_seconds:g} s")

    def _end(self, reason: str) -> None:
        if self.ended is None:
            self.ended = reason

    # -- paho's callbacks, within a turn ------------------------------------------------------------

    def _connected(self, _client: Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        if code.is_failure:
            options = self._options
            who = f"the login of {options.username!r}" if options.username else "a connection without login"
            self._end(f"the broker at {options.host}:{options.port} refused {who}: {code}")
        else:
            self.logged_in = True

    def _disconnected(self, _client: Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        self._end("disconnected" if self._leaving else f"the connection to the broker was lost: {code}")

    def _subscribed(self, _client: Client, _data: Any, packet_id: int, codes: list[ReasonCode], _props: Any) -> None:
        asked = self._asked.pop(packet_id, [])
        refused = [each for each, code in zip(asked, codes, strict=False) if code.is_failure]
        for each in refused:
            self._emit(SubscriptionRefused(each.topic))
        required = [each.topic for each in refused if each.required]
        if required:
            self._end(f"the broker refused to let {self._options.username!r} read {', '.join(required)}")
        self._grant_if_complete()

    def _grant_if_complete(self) -> None:
        if self.logged_in and not self.granted and not self._asked and self.ended is None:
            self.granted = True
            self._on_granted()

    def _message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            logger.warning("a message on a topic that is not UTF-8 is dropped", extra={"action": "drop_message"})
            return
        self._emit(Received(topic, bytes(message.payload), bool(message.retain)))

    def _published(self, _client: Client, _data: Any, packet_id: int, _code: Any, _properties: Any) -> None:
        self._progress_at = time.monotonic()
        size = self._in_flight.pop(packet_id, 0)
        if size:
            self._outbox.settled(size)


class _Client(Client):
    """paho's client, but a failed handshake closes its socket (paho leaves that to the garbage collector)."""

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        if self._ssl_context is None:
            raise ssl.SSLError("no TLS context was set")
        secured = self._ssl_context.wrap_socket(tcp_sock, server_hostname=self.host, do_handshake_on_connect=False)
        try:
            secured.settimeout(self.connect_timeout)
            secured.do_handshake()
        except BaseException:
            secured.close()
            raise
        return secured


def _client(options: LinkOptions) -> Client:
    client = _Client(
        CallbackAPIVersion.VERSION2,
        client_id=options.client_id,
        clean_session=True,
        protocol=MQTTv311,
        reconnect_on_failure=False,
    )
    client.connect_timeout = options.connect_seconds
    # The window is ours (`_hand_over`); paho then has no queue of its own that could outlive anything.
    client.max_inflight_messages = 0
    if options.username:
        client.username_pw_set(options.username, options.password)
    if options.tls is not None:
        client.tls_set_context(tls_context(options.tls))
    if options.presence is not None:
        client.will_set(options.presence.topic, options.presence.offline, qos=1, retain=True)
    return client


def _send_at_once(_client: Client, _data: Any, sock: Any) -> None:
    """Without it a small message waits for the acknowledgement of the one before (Nagle), up to 40 ms."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _ignore(_client: Client, _data: Any, _sock: Any) -> None:
    return None


def _pending(sock: Any) -> bool:
    """TLS may have decrypted more than was read: `poll` does not see that."""
    return hasattr(sock, "pending") and sock.pending() > 0
