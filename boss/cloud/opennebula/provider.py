"""The provider of OpenNebula machines: what was asked for, what is listed, and what follows from both.

One thread makes the calls. It begins machines one at a time at a bounded rate, lists all of the account's machines in
one call a cycle, and compares: a machine of ours that nobody has on record is ended; one on record that is listed no
more has ended; one that cannot run any more is ended, and told. A call whose answer did not come may have made a
machine: it is not repeated, and counts as there, until a list that was taken later than the call can have lasted
shows no machine with its mark. Of two machines with one mark the younger is ended. Machines without our deployment's
mark are never touched.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec

from boss.cloud.opennebula import faults, machines, template
from boss.cloud.opennebula.faults import CloudError
from boss.cloud.opennebula.machines import Machine, Seen
from boss.cloud.provider import Recorded, Told
from boss.core.events import InstanceEnded, InstanceStarted, InstanceStartFailed

logger = logging.getLogger(__name__)

#: OpenNebula refuses these in a name.
_NAME = "ecloud-{worker}"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a pool's machines are made. Seconds."""

    deployment: str
    #: Name or number of the site's template.
    template: str
    #: Instead of the template's own cards: NETWORK, NETWORK_UNAME.
    network: Mapping[str, str] = {}
    #: Between two lists while anything is there, and between two machines that are begun.
    poll_seconds: float = 10.0
    start_seconds: float = 0.5
    #: How long the server may work on a call that nobody waits for any more.
    longest_call_seconds: float = 120.0


class Calls(Protocol):
    """What is asked of the cloud (`client.Client`)."""

    def machines(self, deployment: str) -> list[Machine]: ...
    def template(self, template: int) -> Mapping[str, object]: ...
    def template_id(self, name: str) -> int: ...
    def instantiate(self, template: int, name: str, extra: Mapping[str, Mapping[str, object]]) -> int: ...
    def terminate(self, machine: int) -> None: ...


class _Known(msgspec.Struct):
    """An instance on record."""

    worker: str
    #: Id of its machine; None: not known (yet).
    machine: int | None = None
    #: True: to be begun.
    wanted: bool = False
    #: Its call may have been taken; a list from this time on tells.
    unclear_until: float | None = None
    #: Why it is to end; empty: it is not.
    ending: str = ""
    told: bool = False


class OpenNebulaProvider:
    """`script(worker)` and `context(worker)` are what its machine is told; both may differ from start to start."""

    def __init__(
        self,
        calls: Calls,
        options: Options,
        told: Told,
        context: Callable[[str], Mapping[str, str]],
        script: Callable[[str], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calls = calls
        self._options = options
        self._told = told
        self._context = context
        self._script = script
        self._clock = clock
        self._known: dict[int, _Known] = {}
        self._starts: deque[int] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._listed_at = float("-inf")
        self._began_at = float("-inf")
        self._adopted = False
        #: What keeps machines from being begun, or listed, at present; for status.
        self.trouble = ""
        self._thread = threading.Thread(target=self._run, name="opennebula", daemon=True)

    # --- asked by the boss, from any thread ------------------------------------------------------------

    def adopt(self, recorded: Iterable[Recorded]) -> None:
        """Begin: what is on record is looked for in the next list; what is listed and not on record is ended."""
        with self._changed:
            for one in recorded:
                known = self._known[one.instance] = _Known(one.worker)
                if one.reference.isdigit():
                    known.machine = int(one.reference)
                else:
                    known.unclear_until = self._clock() + self._options.longest_call_seconds
            self._adopted = True
            self._changed.notify()
        self._thread.start()

    def start(self, instance: int, worker: str) -> None:
        with self._changed:
            self._known[instance] = _Known(worker, wanted=True)
            self._starts.append(instance)
            self._changed.notify()

    def stop(self, instance: int, worker: str, reference: str) -> None:
        with self._changed:
            known = self._known.get(instance)
            if known is None:
                self._tell(InstanceEnded(instance=instance, reason="there is no such machine any more"))
                return
            if known.wanted:
                self._forget(instance)
                self._tell(InstanceEnded(instance=instance, reason="it was not begun yet"))
                return
            known.ending = "its end was asked for"
            self._listed_at = float("-inf")
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    # --- the thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                pause = self._pause()
                if pause is None or pause > 0:
                    self._changed.wait(pause)
                    continue
            try:
                self.turn()
            except Exception:
                logger.exception("a turn of the provider failed and is tried again", extra={"action": "bug"})
                with self._changed:  # `close` ends the pause; what else wakes it begins a turn, which is as well
                    self._changed.wait(self._options.poll_seconds)

    def _pause(self) -> float | None:
        """Until something is due; None: nothing is until somebody asks."""
        due = []
        if self._starts:
            due.append(self._began_at + self._options.start_seconds)
        if self._known or self._listed_at == float("-inf"):
            due.append(self._listed_at + self._options.poll_seconds)
        return max(0.0, min(due) - self._clock()) if due else None

    def turn(self) -> None:
        """Begin one machine, or list them all, as is due."""
        now = self._clock()
        if now >= self._listed_at + self._options.poll_seconds and (self._known or not self._starts):
            self._compare()
        elif self._starts and now >= self._began_at + self._options.start_seconds:
            self._began_at = now
            with self._changed:
                instance = self._starts.popleft()
            self._begin(instance)

    # --- one machine is begun --------------------------------------------------------------------------

    def _begin(self, instance: int) -> None:
        with self._changed:
            known = self._known.get(instance)
            if known is None or not known.wanted:
                return
            known.wanted = False
            # From here on it may exist, whatever becomes of this process or of the call.
            known.unclear_until = float("inf")
        try:
            machine = self._instantiate(instance, known.worker)
        except CloudError as error:
            self._not_begun(instance, known, error)
            return
        with self._changed:
            self.trouble = ""
            known.machine, known.unclear_until, known.told = machine, None, True
        self._tell(InstanceStarted(instance=instance, reference=str(machine)))

    def _instantiate(self, instance: int, worker: str) -> int:
        """Raises CloudError; `unclear` from the one call only that makes a machine."""
        options = self._options
        try:
            number = self._calls.template_id(options.template)
            own = self._calls.template(number)
        except CloudError as error:
            raise CloudError("away" if error.kind == "unclear" else error.kind, str(error)) from None
        extra = template.extra_template(
            own,
            self._context(worker),
            self._script(worker),
            template.marks_of(options.deployment, worker, instance),
            options.network,
        )
        return self._calls.instantiate(number, _NAME.format(worker=worker), extra)

    def _not_begun(self, instance: int, known: _Known, error: CloudError) -> None:
        self._say(str(error))
        with self._changed:
            if error.kind == "unclear":
                known.unclear_until = self._clock() + self._options.longest_call_seconds
                self._listed_at = min(self._listed_at, self._clock() - self._options.poll_seconds)
                return
            if error.kind == "away":
                known.wanted, known.unclear_until = True, None
                self._starts.appendleft(instance)
                self._began_at = self._clock() + self._options.poll_seconds
                return
            self._forget(instance)
        self._tell(
            InstanceStartFailed(instance=instance, reason=str(error), full=faults.grows_no_more(error.kind))
        )  # fmt: skip

    # --- all are listed --------------------------------------------------------------------------------

    def _compare(self) -> None:
        begun = self._clock()
        try:
            listed = self._calls.machines(self._options.deployment)
        except CloudError as error:
            self._say(str(error))
            self._listed_at = self._clock()
            return
        self._listed_at = self._clock()
        if self.trouble and not self._starts:
            self.trouble = ""
        marked: dict[int, list[Machine]] = {}
        for machine in sorted(listed):
            if machine.seen is not Seen.GONE:
                marked.setdefault(machine.instance, []).append(machine)
        for instance, found in marked.items():
            self._look_at(instance, found)
        with self._changed:
            absent = [number for number in self._known if number not in marked]
        for instance in absent:
            self._not_listed(instance, begun)

    def _look_at(self, instance: int, found: list[Machine]) -> None:
        first, *younger = found
        for machine in younger:
            self._end(machine, f"machine {first.id} has the same mark and is older")
        with self._changed:
            known = self._known.get(instance)
            if known is not None and known.wanted:
                return  # begun by nobody: a number is never used again
        if known is None:
            self._end(first, "no instance on record has its mark")
            return
        if known.machine != first.id or not known.told:
            with self._changed:
                known.machine, known.unclear_until, known.told = first.id, None, True
            self._tell(InstanceStarted(instance=instance, reference=str(first.id)))
        if known.ending:
            self._end(first, known.ending)
        elif first.seen is Seen.BROKEN:
            with self._changed:
                known.ending = first.message or "it cannot run any more"
            self._end(first, f"it cannot run any more ({first.message or 'no reason was given'})")

    def _not_listed(self, instance: int, begun: float) -> None:
        with self._changed:
            known = self._known.get(instance)
            if known is None or known.wanted:
                return
            if known.unclear_until is not None:
                if begun < known.unclear_until:
                    return  # the call may still be worked on
                self._forget(instance)
                event: InstanceStartFailed | InstanceEnded = InstanceStartFailed(
                    instance=instance, reason="the call got no answer, and no machine came of it"
                )
            else:
                self._forget(instance)
                event = InstanceEnded(
                    instance=instance, reason=known.ending or "OpenNebula does not list its machine any more"
                )
        self._tell(event)

    def _end(self, machine: Machine, why: str) -> None:
        if machine.seen is Seen.ENDING:
            return
        logger.info("machine %d (worker %s) is ended: %s", machine.id, machine.worker, why, extra={"action": "end"})
        try:
            self._calls.terminate(machine.id)
        except CloudError as error:
            # The next list shows it again, and it is asked again: a machine that boots cannot be ended, say.
            logger.info("machine %d cannot be ended now: %s", machine.id, error, extra={"action": "end_later"})

    # --- parts -----------------------------------------------------------------------------------------

    def _forget(self, instance: int) -> None:
        self._known.pop(instance, None)
        if instance in self._starts:
            self._starts.remove(instance)

    def _say(self, sentence: str) -> None:
        if sentence != self.trouble:
            logger.warning("%s", sentence, extra={"action": "cloud_trouble"})
        self.trouble = sentence

    def _tell(self, event: InstanceStarted | InstanceStartFailed | InstanceEnded) -> None:
        if not self._closed:
            self._told(event)


__all__ = ["Calls", "OpenNebulaProvider", "Options", "machines"]
