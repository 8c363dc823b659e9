"""MQTT in and out: messages to bytes and topics, what arrives to events for the inbox.

Lives between `wire.link` and the loop. What is no message of ours is counted, logged a few times with its
topic, and dropped: no published message can harm the boss.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from boss.core.events import (
    DatastoreReported,
    Event,
    LinkConnected,
    LinkDisconnected,
    OtherVersionReported,
    PresenceSeen,
    WorkerReported,
)
from boss.core.instance_state import DATASTORE
from wire.codec import MessageTooLargeError, UnknownVersionError, WireError, decode, decode_other, encode
from wire.link import Connected, Disconnected, Link, LinkEvent, LinkOptions, Received, SubscriptionRefused
from wire.messages import DatastoreOrders, DatastoreReports, Presence, WorkerOrders, WorkerReports
from wire.topics import Topics

logger = logging.getLogger(__name__)

#: Of each kind of junk the first few are logged, then every thousandth.
JUNK_SHOWN = 10


class MqttMessages:
    """Sends and receives for the boss."""

    def __init__(self, options: LinkOptions, topics: Topics, put: Callable[[Event], None]) -> None:
        self._topics = topics
        self._put = put
        self._junk = 0
        self._link = Link(options, self._received)
        for topic in (topics.all_reports, topics.all_presences, topics.datastore_reports, topics.datastore_presence):
            self._link.subscribe(topic)

    def start(self) -> None:
        self._link.start()

    def stop(self) -> None:
        self._link.stop()

    def send_to_worker(self, worker: str, message: WorkerOrders) -> None:
        self._send(self._topics.orders(worker), message)

    def send_to_datastore(self, message: DatastoreOrders) -> None:
        self._send(self._topics.datastore_orders, message)

    def clear_presence(self, worker: str) -> None:
        """Remove the retained presence of a worker that is terminated."""
        self._link.publish(self._topics.presence(worker), b"", retain=True)

    def _send(self, topic: str, message: WorkerOrders | DatastoreOrders) -> None:
        """Lost if there is no connection, or it is full: what is not confirmed is sent again."""
        try:
            payload = encode(message)
        except MessageTooLargeError as error:
            logger.error("an order for %s cannot be sent: %s", topic, error, extra={"action": "too_large"})
            return
        self._link.publish(topic, payload)

    # --- in the link's thread -------------------------------------------------------------------------

    def _received(self, event: LinkEvent) -> None:
        if isinstance(event, Received):
            self._message(event)
        elif isinstance(event, Connected):
            self._put(LinkConnected())
        elif isinstance(event, Disconnected):
            logger.info("no connection to the broker: %s", event.reason, extra={"action": "disconnected"})
            self._put(LinkDisconnected())
        elif isinstance(event, SubscriptionRefused):
            logger.error(
                "the broker does not let the boss read %s: give its login the right to; the boss retries automatically",
                event.topic,
                extra={"action": "subscription_refused"},
            )

    def _message(self, event: Received) -> None:
        if not event.payload:
            return  # a retained presence that was taken away
        try:
            received = self._event(event.topic, event.payload)
        except WireError as error:
            self._dropped(event.topic, str(error))
            return
        if received is not None:
            self._put(received)

    def _event(self, topic: str, payload: bytes) -> Event | None:
        topics = self._topics
        if topic == topics.datastore_presence:
            return self._presence(topic, payload, "datastore")
        worker = DATASTORE if topic == topics.datastore_reports else topics.worker_of(topic)
        if worker is None:
            self._dropped(topic, "no topic of a worker")
            return None
        try:
            if topic == topics.datastore_reports:
                return DatastoreReported(message=decode(payload, DatastoreReports))
            if topic == topics.reports(worker):
                return WorkerReported(worker=worker, message=decode(payload, WorkerReports))
        except UnknownVersionError:
            return OtherVersionReported(agent=worker, message=decode_other(payload))
        return self._presence(topic, payload, worker)

    def _presence(self, topic: str, payload: bytes, name: str) -> Event | None:
        try:
            message = decode(payload, Presence)
        except UnknownVersionError:
            return None  # a hint only: its reports say what it speaks
        if message.name != name:
            self._dropped(topic, f"presence in the name of {message.name!r}")
            return None
        return PresenceSeen(message=message)

    def _dropped(self, topic: str, reason: str) -> None:
        self._junk += 1
        if self._junk <= JUNK_SHOWN or self._junk % 1000 == 0:
            logger.warning(
                "dropped message %d that is none of ours, on %s: %s",
                self._junk,
                topic,
                reason[:300],
                extra={"action": "dropped"},
            )
