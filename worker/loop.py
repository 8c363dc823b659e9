"""The loop of a worker: takes events in, hands them to the agent, carries its effects out. One thread, the only one
that touches the agent; all others put events into its inbox.

Decides nothing. What it is given (a way to publish, a runner, a keeper of files, a journal) it does not make.
"""

from __future__ import annotations

import logging
import os
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wire.codec import WireError, decode, encode
from wire.link import Connected, Disconnected, LinkEvent, Received, SubscriptionRefused
from wire.messages import Presence, WorkerOrders
from wire.rejected import RejectionLog
from wire.topics import Topics
from worker.agent import WorkerAgent
from worker.agent.effects import (
    AdoptDeployment,
    Effect,
    Execute,
    Exit,
    FetchBundle,
    ForgetOutcome,
    KeepOutcome,
    KillExecution,
    PlaceInputs,
    RememberInit,
    RemoveAttempt,
    SendReports,
)
from worker.agent.events import (
    BossSeen,
    DiskMeasured,
    Event,
    ExecutionEnded,
    LinkConnected,
    LinkDisconnected,
    OrdersArrived,
    OtherAgentSeen,
    SizesMeasured,
    Suspended,
    TimePassed,
)
from worker.attempt_files import AttemptFiles, Inbox
from worker.journal import Journal
from worker.runner import Runner

logger = logging.getLogger(__name__)

#: Events taken in one turn before what is due goes out.
_TURN = 1000
_DISK_SECONDS = 10.0
#: The two clocks are read one after the other.
_SUSPENDED_SECONDS = 1.0
#: While something executes, the free space is looked at so often.
_GROWTH_SECONDS = 1.0
#: A disk with less than this free, or than that part of it if that is less, is all but full.
_LOW_BYTES, _LOW_PART = 64 * 1024 * 1024, 50


@dataclass
class WorkerLoop:
    """The agent, and everything around it."""

    agent: WorkerAgent
    inbox: Inbox
    topics: Topics
    publish: Callable[[str, bytes], bool]
    runner: Runner
    files: AttemptFiles
    journal: Journal
    #: Gets another version of this program, in a thread of its own.
    fetch: Callable[[FetchBundle], None]
    exit: Exit | None = None

    def __post_init__(self) -> None:
        self._options = self.agent.state.options
        self._measured_at = self._looked_at = float("-inf")
        #: Seconds that the machine was suspended since it booted.
        self._suspended = _suspended_seconds()
        self._ignored = RejectionLog(logger, "orders")
        self._perform: dict[type[Effect], Callable[[Any], None]] = {
            SendReports: self._send_reports,
            Execute: self._execute,
            KeepOutcome: lambda effect: self.journal.keep(effect.outcome),
            ForgetOutcome: lambda effect: self.journal.forget(effect.task, effect.attempt),
            RemoveAttempt: self._remove_attempt,
            PlaceInputs: self.files.place,
            KillExecution: lambda effect: self.runner.kill(effect.task, effect.attempt, effect.reason),
            RememberInit: lambda effect: self.journal.remember_init(effect.number),
            AdoptDeployment: lambda effect: self.journal.adopt(effect.deployment),
            FetchBundle: self.fetch,
            Exit: self._end,
        }

    def run(self) -> Exit:
        """Until the agent wants to end; why it does."""
        while self.exit is None:
            self.turn()
        self.journal.flush()
        return self.exit

    def turn(self) -> None:
        """Take what waits, then what is due."""
        deadline = self.agent.next_deadline()
        state = self.agent.state
        longest = _GROWTH_SECONDS if state.counts["executing"] or state.disk_low else _DISK_SECONDS
        pause = longest if deadline is None else max(0.0, min(deadline - time.monotonic(), longest))
        try:
            event = self.inbox.get(timeout=pause)
            self._note_suspension()
            for _ in range(_TURN):
                self._take(event)
                event = self.inbox.get_nowait()
        except queue.Empty:
            pass
        now = time.monotonic()
        self._measure_disk(now)
        deadline = self.agent.next_deadline()
        if deadline is not None and deadline <= now:
            self._handle(TimePassed())
        self.journal.flush()
        self._ignored.observe(self.agent.state.ignored, now)

    def _handle(self, event: Event) -> None:
        if isinstance(event, ExecutionEnded) and event.outcome.ended == "failed":
            self._measure_disk(time.monotonic(), failed=True)
        for effect in self.agent.handle(event, time.monotonic()):
            self._perform[type(effect)](effect)
        if isinstance(event, ExecutionEnded):
            key = (event.outcome.task, event.outcome.attempt)
            if key in self.journal.begun:  # its outcome is not needed
                self.journal.forget(*key)

    def _note_suspension(self) -> None:
        """Before anything that came meanwhile is acted upon."""
        before, self._suspended = self._suspended, _suspended_seconds()
        if self._suspended - before > _SUSPENDED_SECONDS:
            self._handle(Suspended(self._suspended - before))

    def _measure_disk(self, now: float, *, failed: bool = False) -> None:
        """Free space now and then; while attempts run more often, to stop one that fills the disk in time.

        `failed`: an attempt did, which may be for a disk that is full.
        """
        state = self.agent.state
        full_look = now >= self._measured_at + _DISK_SECONDS
        often = state.counts["executing"] or state.disk_low
        if not (full_look or failed or (often and now >= self._looked_at + _GROWTH_SECONDS)):
            return
        self._looked_at = now
        try:
            about = os.statvfs(self.files.attempts)
        except OSError:  # a broken file system fails attempts, which say why
            return
        free = about.f_bavail * about.f_frsize
        low = free < min(_LOW_BYTES, about.f_blocks * about.f_frsize // _LOW_PART)
        if low or full_look or state.disk_low:
            self._handle(DiskMeasured(free, low))
        if low or (state.options.attempt_disk_bytes and full_look):
            running = [held.key for held in state.held.values() if held.phase == "executing"]
            if low and failed:  # at once: which has written more than any other decides whose fault it is
                self._handle(SizesMeasured(self.files.sizes(running), free, low))
            else:
                self.files.measure(running, free, low)
        if full_look:
            self._measured_at = now
            self.files.trim_cache()

    # -- what comes in ------------------------------------------------------------------------------

    def _take(self, event: Event | LinkEvent) -> None:
        if isinstance(event, Received):
            self._received(event)
        elif isinstance(event, Connected):
            logger.info("connected to the broker", extra={"action": "connected"})
            self._handle(LinkConnected())
        elif isinstance(event, Disconnected):
            self._handle(LinkDisconnected())
        elif isinstance(event, SubscriptionRefused):
            if event.topic == self.topics.presence(self._options.worker):
                return  # wanted, not needed: not every broker lets a worker read its own presence
            logger.error(
                "the broker does not let %r read %s: check its login and access list; trying again",
                self._options.worker, event.topic, extra={"action": "subscription_refused"},
            )  # fmt: skip
        else:
            self._handle(event)

    def _received(self, event: Received) -> None:
        try:
            if event.topic == self.topics.orders(self._options.worker):
                self._handle(OrdersArrived(decode(event.payload, WorkerOrders)))
            elif event.topic == self.topics.boss_presence and event.payload:
                self._handle(BossSeen(decode(event.payload, Presence), event.retained))
            elif event.topic == self.topics.presence(self._options.worker) and event.payload:
                self._own_presence(decode(event.payload, Presence), event.retained)
        except WireError as error:
            logger.warning("a message on %s is ignored: %s", event.topic, error, extra={"action": "refuse_message"})

    def _own_presence(self, presence: Presence, retained: bool) -> None:
        """A live "online" of another incarnation: another agent was started with our id after us."""
        other = presence.incarnation != self._options.incarnation
        if other and presence.online and not retained:
            self._handle(OtherAgentSeen(presence.incarnation))

    # -- what goes out ------------------------------------------------------------------------------

    def _send_reports(self, effect: SendReports) -> None:
        self.journal.flush()
        try:
            payload = encode(effect.message)
        except WireError as error:
            logger.error("reports cannot be sent: %s", error, extra={"action": "refuse_message"})
            return
        if not self.publish(self.topics.reports(self._options.worker), payload):
            logger.debug("a message was not taken by the link; what counts is sent again")

    def _execute(self, effect: Execute) -> None:
        self.journal.begin(effect.run.task, effect.run.attempt)
        self.journal.flush()  # it may be the end of this process
        self.runner.execute(effect.run)

    def _end(self, effect: Exit) -> None:
        self.exit = effect

    def _remove_attempt(self, effect: RemoveAttempt) -> None:
        if (effect.task, effect.attempt) in self.journal.begun:
            self.journal.forget(effect.task, effect.attempt)
        self.files.remove(effect)


def _suspended_seconds() -> float:
    """For how long the machine was suspended since its boot: the monotonic clock stands still then."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
