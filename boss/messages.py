"""MQTT in and out: messages to bytes and topics, what arrives to events for the inbox.

Lives between `wire.link` and the loop. What is no message of ours is counted, logged a few times with its
topic, and dropped: no published message can harm the boss.
"""

from __future__ import annotations

import logging

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
from boss.core.reasons import MessageRejection
from boss.inbox import Inbox
from wire.codec import MessageTooLargeError, UnknownVersionError, WireError, decode, decode_other, encode
from wire.link import Connected, Disconnected, Link, LinkEvent, LinkOptions, Received, SubscriptionRefused
from wire.messages import DatastoreOrders, DatastoreReports, Presence, WorkerOrders, WorkerReports
from wire.topics import Topics

logger = logging.getLogger(__name__)

#: So many that were dropped are logged one by one.
DROPPED_SHOWN = 10


class MqttMessages:
    """Sends and receives for the boss."""

    def __init__(self, options: LinkOptions, topics: Topics, inbox: Inbox) -> None:
        self._topics = topics
        self._inbox = inbox
        self._shown = 0
        self._of_datastore = (topics.datastore_reports, topics.datastore_presence)
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
            self._inbox.put(LinkConnected())
        elif isinstance(event, Disconnected):
            logger.info("no connection to the broker: %s", event.reason, extra={"action": "disconnected"})
            self._inbox.put(LinkDisconnected())
        elif isinstance(event, SubscriptionRefused):
            logger.error(
                "the broker does not let the boss read %s: give its login the right to; the boss retries automatically",
                event.topic,
                extra={"action": "subscription_refused"},
            )

    def _message(self, event: Received) -> None:
        topic, size = event.topic, len(event.payload)
        if not size:
            return  # a retained presence that was taken away
        sender = DATASTORE if topic in self._of_datastore else self._topics.worker_of(topic)
        if sender is None:
            self._dropped(MessageRejection.MISPLACED, topic, "no topic of a worker")
        elif not self._inbox.has_room(sender, size):
            self._dropped(MessageRejection.TOO_MANY, topic, "more messages of it wait already than are kept for one")
        else:
            try:
                received = self._event(sender, topic, event.payload)
            except WireError as error:
                too_large = isinstance(error, MessageTooLargeError)
                kind = MessageRejection.TOO_LARGE if too_large else MessageRejection.MALFORMED
                self._dropped(kind, topic, str(error))
                return
            if received is not None:
                self._inbox.put_message(sender, size, received)

    def _event(self, sender: str, topic: str, payload: bytes) -> Event | None:
        try:
            if topic == self._topics.datastore_reports:
                return DatastoreReported(message=decode(payload, DatastoreReports))
            if topic == self._topics.reports(sender):
                return WorkerReported(worker=sender, message=decode(payload, WorkerReports))
        except UnknownVersionError:
            return OtherVersionReported(agent=sender, message=decode_other(payload))
        return self._presence(topic, payload, sender)

    def _presence(self, topic: str, payload: bytes, name: str) -> Event | None:
        try:
            message = decode(payload, Presence)
        except UnknownVersionError:
            return None  # a hint only: its reports say what it speaks
        if message.name != name:
            self._dropped(MessageRejection.MISPLACED, topic, f"presence in the name of {message.name!r}")
            return None
        return PresenceSeen(message=message)

    def _dropped(self, kind: MessageRejection, topic: str, reason: str) -> None:
        """Counted, and the first few logged; of the others the loop logs their numbers."""
        self._inbox.rejected[kind] += 1
        self._shown += 1
        if self._shown <= DROPPED_SHOWN:
            logger.warning(
                "dropped a message that is none of ours, on %s: %s%s",
                topic[:200],
                reason[:300],
                "; further ones are only counted" if self._shown == DROPPED_SHOWN else "",
                extra={"action": "dropped"},
            )
