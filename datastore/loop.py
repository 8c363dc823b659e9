"""The datastore's loop: one thread owns the agent, threads beside it do the file work, the link carries messages.

Whatever happens (a message, the end of a transfer or of a step, a signal) is put into one inbox; the loop hands it
to the agent, and its effects to whom they concern. The agent's thread touches no file.

    inbox -> agent.handle -> transfers   (threads, at most as many as transfers may run)
                          -> publisher   (one thread: steps in order, records, epochs)
                          -> storage     (one thread: sent files, look-ups)
                          -> link
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable

from datastore.agent import DatastoreAgent, Outgoing
from datastore.agent.effects import Confirm, Report
from datastore.agent.events import (
    BossSeen,
    Event,
    LinkConnected,
    LinkDisconnected,
    Ordered,
    Started,
    StepFailed,
    TimePassed,
)
from datastore.work import Performer
from wire.codec import WireError, decode, encode
from wire.link import Connected, Disconnected, Link, LinkEvent, Received, SubscriptionRefused
from wire.messages import DatastoreOrders, DatastoreReports, Presence
from wire.rejected import RejectionLog
from wire.topics import Topics

logger = logging.getLogger(__name__)

#: Until the next try to hand messages to a link that was full.
_LINK_FULL_SECONDS = 0.5


class StopDatastore:
    """End; what is under way is taken up at the next start."""


#: What the loop takes, from any thread and from signal handlers. Made before all that puts something into it.
Inbox = queue.SimpleQueue[Event | LinkEvent | StopDatastore]


class DatastoreLoop:
    """`run` returns after StopDatastore."""

    def __init__(
        self,
        inbox: Inbox,
        agent: DatastoreAgent,
        outgoing: Outgoing,
        work: Performer,
        topics: Topics,
        disk_free: Callable[[], int],
    ) -> None:
        self._agent = agent
        self._outgoing = outgoing
        self._work = work
        self._topics = topics
        self._disk_free = disk_free
        self._inbox = inbox
        self._unsent: list[DatastoreReports] = []
        self._stopping = False
        self._ignored = RejectionLog(logger, "orders and events")

    def run(self, link: Link, started: Started) -> None:
        self._handle(TimePassed(self._disk_free()))
        self._handle(started)
        link.subscribe(self._topics.datastore_orders)
        link.subscribe(self._topics.boss_presence, required=False)
        link.start()
        while not self._stopping:
            for event in self._wait():
                self._take(event)
            if self._timeout() == 0.0:  # an inbox that is never empty must not hold up what is due
                self._handle(TimePassed(self._disk_free()))
            self._send(link)
            self._ignored.observe(self._agent.state.ignored, time.monotonic())
        logger.info("ending; what is under way is taken up at the next start", extra={"action": "stop"})
        self._work.stop()
        link.stop()

    # -- one turn ------------------------------------------------------------------------------------

    def _wait(self) -> list[Event | LinkEvent | StopDatastore]:
        """All that waits in the inbox; at a deadline the time."""
        try:
            events = [self._inbox.get(timeout=self._timeout())]
        except queue.Empty:
            return [TimePassed(self._disk_free())]
        while True:
            try:
                events.append(self._inbox.get_nowait())
            except queue.Empty:
                return events

    def _timeout(self) -> float | None:
        deadline = self._agent.next_deadline()
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        if self._unsent:
            return _LINK_FULL_SECONDS if timeout is None else min(timeout, _LINK_FULL_SECONDS)
        return timeout

    def _take(self, event: Event | LinkEvent | StopDatastore) -> None:
        match event:
            case StopDatastore():
                self._stopping = True
            case Received():
                self._received(event)
            case Connected():
                self._drop_unsent()
                self._handle(LinkConnected())
            case Disconnected():
                self._handle(LinkDisconnected())
                self._drop_unsent()
            case SubscriptionRefused():
                logger.error("the broker does not let this login read %s", event.topic, extra={"action": "refused"})
            case _:
                self._handle(event)

    def _received(self, message: Received) -> None:
        try:
            if message.topic == self._topics.datastore_orders:
                self._handle(Ordered(decode(message.payload, DatastoreOrders)))
            elif message.topic == self._topics.boss_presence and message.payload:
                presence = decode(message.payload, Presence)
                if presence.online and presence.deployment == self._agent.state.deployment:
                    self._handle(BossSeen(presence.incarnation))
        except WireError as error:
            logger.warning("a message on %s is dropped: %s", message.topic, error, extra={"action": "drop_message"})

    def _handle(self, event: Event) -> None:
        if isinstance(event, StepFailed):
            logger.warning("%s", event.reason, extra={"action": "wait"})
        for effect in self._agent.handle(event, time.monotonic()):
            if isinstance(effect, Report | Confirm):
                self._outgoing.add(effect)
            else:
                self._work.begin(effect)

    # -- out -----------------------------------------------------------------------------------------

    def _send(self, link: Link) -> None:
        """What the link does not take now waits while the connection lasts; after it a hello makes all good."""
        self._unsent += self._outgoing.messages()
        for report in self._outgoing.too_large:
            logger.error("a %s is larger than a message may be and is not sent", type(report).__name__,
                         extra={"action": "drop_report"})  # fmt: skip
        self._outgoing.too_large.clear()
        while self._unsent:
            if not link.publish(self._topics.datastore_reports, encode(self._unsent[0])):
                if not self._agent.state.linked:
                    self._unsent.clear()
                return
            del self._unsent[0]

    def _drop_unsent(self) -> None:
        self._unsent.clear()
        self._outgoing.clear()
