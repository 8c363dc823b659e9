"""The provider of OpenNebula machines: what was asked for, what is listed, and what follows from both.

One thread makes the calls. It begins machines one at a time at a bounded rate, lists all of the account's machines in
one call a cycle, and compares: a machine of ours that is not on record is ended; one on record that is listed no
more has ended; one that can no longer run is terminated and reported. A call whose answer did not come may have made a
machine: it is not repeated, and counts as there, until a list that was taken later than the call can have lasted
shows no machine with its mark. Of two machines with one mark the younger is ended. Machines without our deployment's
mark are never touched, nor those of its other pools.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

import msgspec

from boss.core.events import InstanceEnded, InstancePlaced, InstanceStarted, InstanceStartFailed
from boss.providers.opennebula import errors, nics, quotas, template
from boss.providers.opennebula.client import CloudClient
from boss.providers.opennebula.errors import CloudError
from boss.providers.opennebula.machines import CloudMachine, Seen
from boss.providers.opennebula.timeouts import MachineTimeouts
from boss.providers.provider import BootstrapData, Limits, Notify, OfInstance, Recorded

logger = logging.getLogger(__name__)

_NAME = "ecloud-{worker}"


class MachineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a pool's machines are made. Seconds."""

    deployment: str
    #: Its name, and those of all pools: machines of a pool that the settings have no more are ended.
    pool: str = ""
    pools: tuple[str, ...] = ()
    #: Name or number of the site's template.
    template: str
    #: Instead of the template's own NICs: number, name or owner/name. Empty: the template's.
    network: str = ""
    #: worker or datastore: a datastore's machine has a disk that outlives it, and is only ended politely.
    role: str = "worker"
    #: Name of that disk's image: it is added where the template does not have it. Empty: as the template says.
    disk: str = ""
    #: Which `admin.py deploy` this boss comes from, for its mark.
    deploy: str = ""
    #: Between two lists while anything is there, and between two machines that are begun.
    poll_seconds: float = 10.0
    start_seconds: float = 0.5
    #: How long the server may work on a call that is no longer waited for.
    longest_call_seconds: float = 120.0
    #: How long a machine may wait for a host; how long its host may be seen no more.
    pending_seconds: float = 600.0
    unknown_seconds: float = 600.0
    #: Between two looks at what quotas and network leave.
    room_seconds: float = 60.0


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
    #: It ends because the cloud has no free capacity: the pool cannot grow.
    no_capacity: bool = False
    reported: bool = False
    #: No host had taken its machine when that was last reported.
    waiting: bool = False


class OpenNebulaProvider:
    """`bootstrap_data(instance, worker)` is what its machine is given; it may differ from start to start, and block."""

    def __init__(
        self,
        calls: CloudClient,
        options: MachineOptions,
        notify: Notify,
        bootstrap_data: Callable[[int, str], BootstrapData],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calls = calls
        self._options = options
        self._notify = notify
        self._bootstrap_data = bootstrap_data
        self._clock = clock
        self._known: dict[int, _Known] = {}
        self._starts: deque[int] = deque()
        self._nics = nics.NicRequests(calls)
        self._changed = threading.Condition()
        self._closed = False
        self._listed_at = float("-inf")
        self._began_at = float("-inf")
        self._capacity_at = float("-inf")
        self._capacity: tuple[int | None, str] = (None, "")
        #: Machines that were begun since that was polled.
        self._begun_since = 0
        self._timeouts = MachineTimeouts(options.pending_seconds, options.unknown_seconds)
        self._call_warning = ""
        self._thread = threading.Thread(target=self._run, name="opennebula", daemon=True)

    # --- asked by the boss, from any thread ------------------------------------------------------------

    @property
    def warning(self) -> str:
        """What keeps machines from being begun, listed or run at present; for status."""
        with self._changed:
            return "; ".join(filter(None, [self._call_warning, *self._timeouts.warnings(self._clock())]))

    def adopt(self, recorded: Iterable[Recorded]) -> None:
        """Begin: what is on record is looked for in the next list; what is listed and not on record is ended."""
        with self._changed:
            for one in recorded:
                known = self._known[one.instance] = _Known(one.worker)
                if one.reference.isdigit():
                    known.machine = int(one.reference)
                else:
                    known.unclear_until = self._clock() + self._options.longest_call_seconds
            self._changed.notify()
        self._thread.start()

    def start(self, instance: int, worker: str) -> None:
        """Returns at once; its machine is begun by the thread. InstanceStarted or InstanceStartFailed follows."""
        with self._changed:
            self._known[instance] = _Known(worker, wanted=True)
            self._starts.append(instance)
            self._changed.notify()

    def stop(self, instance: int, worker: str, reference: str) -> None:
        """Returns at once; InstanceEnded follows when the machine is gone, at once where it is unknown or was not
        begun.
        """
        with self._changed:
            known = self._known.get(instance)
            if known is None:
                self._tell(InstanceEnded(instance=instance, reason="there is no such machine any more"))
                return
            if known.wanted:
                self._forget(instance)
                self._tell(InstanceEnded(instance=instance, reason="it was not begun yet"))
                return
            known.ending = known.ending or "its end was asked for"
            self._listed_at = float("-inf")
            self._changed.notify()

    def limits(self) -> Limits:
        """What quotas and network left when they were last looked at, less what was begun or requested since; none
        while no host takes machines. Makes no call.
        """
        with self._changed:
            if waiting := self._timeouts.no_capacity(self._clock()):
                return Limits(more=0, reason=waiting)
            more, reason = self._capacity
            if more is None:
                return Limits()
            more = max(0, more - self._begun_since - len(self._starts))
            return Limits(more=more, reason=f"{reason}: room for {more or 'no'} more")

    def attach(self, reference: str, network: str, done: nics.Done) -> None:
        """A further NIC of a machine that runs: `done(nic, "")` once it is there, or `done("", why not)`."""
        self._plug(nics.NicRequest(int(reference), template.nic_of(network), "", done, self._clock()))

    def detach(self, reference: str, nic: str, done: nics.Done) -> None:
        """Remove it: `done(nic, "")` once it is gone, or the machine is; or `done("", why not)`."""
        self._plug(nics.NicRequest(int(reference), {}, nic, done, self._clock()))

    def _plug(self, request: nics.NicRequest) -> None:
        with self._changed:
            self._nics.add(request)
            self._listed_at = float("-inf")
            self._changed.notify()

    def close(self) -> None:
        """Notifies no more; its thread ends after the call that it is in. Machines live on."""
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
            except Exception:  # an internal error: without this thread nothing would be started or terminated
                logger.exception("a turn of the provider failed and is tried again", extra={"action": "bug"})
                with self._changed:  # `close` ends the pause; what else wakes it begins a turn, which is as well
                    self._changed.wait(self._options.poll_seconds)

    def _pause(self) -> float | None:
        """Until something is due; None: nothing is until something is asked."""
        due = []
        if self._starts:
            due.append(self._began_at + self._options.start_seconds)
        if self._known or self._nics or self._listed_at == float("-inf"):
            due.append(self._listed_at + self._between_lists())
        if self._capacity[0] == 0:  # nothing is begun until some is free again
            due.append(self._capacity_at + self._options.room_seconds)
        return max(0.0, min(due) - self._clock()) if due else None

    def _between_lists(self) -> float:
        """Who waits for a NIC waits on behalf of a task."""
        return min(1.0, self._options.poll_seconds) if self._nics else self._options.poll_seconds

    def turn(self) -> None:
        """Begin one machine, or list them all, as is due."""
        now = self._clock()
        try:
            self._calls.keep_login()
        except CloudError as error:
            self._say(errors.being_tried(error))  # the calls themselves say so too, each in its place
        if now >= self._listed_at + self._between_lists() and (self._known or self._nics or not self._starts):
            self._compare()
        elif self._starts and now >= self._began_at + self._options.start_seconds:
            self._began_at = now
            with self._changed:
                instance = self._starts.popleft()
            self._begin(instance)
        else:
            self._poll_capacity(now)

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
            self._call_warning = ""
            self._begun_since += 1
            known.machine, known.unclear_until, known.reported, known.waiting = machine, None, True, True
        address = self._address(machine)
        self._tell(InstanceStarted(instance=instance, reference=str(machine), address=address, waiting=True))

    def _address(self, machine: int) -> str:
        """It is known as soon as the machine is made; empty where the call fails: its worker says it too."""
        try:
            return self._calls.address(machine)
        except CloudError:
            return ""

    def _instantiate(self, instance: int, worker: str) -> int:
        """Raises CloudError; `unclear` from the one call only that makes a machine."""
        try:
            number = self._calls.template_id(self._options.template)
            own = self._calls.template(number)
        except CloudError as error:
            raise CloudError("away" if error.kind == "unclear" else error.kind, str(error)) from None
        try:
            extra = self._extra(instance, worker, own)
        except (OSError, ValueError) as error:
            raise CloudError("refused", f"its machine cannot be prepared: {error}") from None
        except Exception as error:  # else it would count as there, and why it is not would stay unknown
            logger.exception("worker %s: its machine cannot be prepared", worker, extra={"action": "bug"})
            raise CloudError("refused", f"its machine cannot be prepared (internal error): {error!r}") from None
        return self._calls.instantiate(number, _NAME.format(worker=worker), extra)

    def _extra(self, instance: int, worker: str, own: Mapping[str, object]) -> dict[str, dict[str, object]]:
        """What is given with the call. `own`: TEMPLATE of the site's template. Raises OSError, ValueError."""
        options = self._options
        data = self._bootstrap_data(instance, worker)
        marks = template.marks_of(options.deployment, worker, instance, options.pool, options.role, options.deploy)
        script = template.with_disk(data.script) if options.disk else data.script
        extra = template.extra_template(own, data.variables, script, marks, template.nic_of(options.network))
        if options.disk:
            extra["TEMPLATE"] |= template.disks_with(own, options.disk)
        return extra

    def _not_begun(self, instance: int, known: _Known, error: CloudError) -> None:
        if error.kind in ("unclear", "away", "busy"):
            self._say(errors.being_tried(error))
        else:  # reported with the instance, and by the boss with the pool
            logger.warning("worker %s was not begun: %s", known.worker, error, extra={"action": "not_begun"})
        with self._changed:
            if error.kind == "unclear":
                known.unclear_until = self._clock() + self._options.longest_call_seconds
                self._listed_at = min(self._listed_at, self._clock() - self._options.poll_seconds)
                return
            if error.kind in ("away", "busy"):
                known.wanted, known.unclear_until = True, None
                self._starts.appendleft(instance)
                self._began_at = self._clock() + self._options.poll_seconds
                return
            self._forget(instance)
            self._capacity_at = float("-inf")
        self._tell(InstanceStartFailed(instance=instance, reason=str(error), full=error.kind in errors.FULL))

    # --- all are listed --------------------------------------------------------------------------------

    def _compare(self) -> None:
        begun = self._clock()
        try:
            listed = [each for each in self._calls.machines(self._options.deployment) if self._is_mine(each)]
        except CloudError as error:
            self._say(errors.being_tried(error))
            self._listed_at = self._clock()
            return
        self._listed_at = now = self._clock()
        with self._changed:
            if self._call_warning and not self._starts:
                self._call_warning = ""
            given_up = self._timeouts.observe(listed, now)
        marked: dict[int, list[CloudMachine]] = {}
        for machine in sorted(listed):
            if machine.seen is not Seen.GONE:
                marked.setdefault(machine.instance, []).append(machine)
        for instance, found in marked.items():
            self._look_at(instance, found, given_up)
        with self._changed:
            absent = [number for number in self._known if number not in marked]
        for instance in absent:
            self._not_listed(instance, begun)
        self._nics.compare(listed, now)
        self._poll_capacity(now)

    def _is_mine(self, machine: CloudMachine) -> bool:
        """Another pool's machines are that pool's; those of a removed pool are any pool's to terminate."""
        pools = self._options.pools
        return machine.pool in ("", self._options.pool) or (bool(pools) and machine.pool not in pools)

    def _look_at(self, instance: int, found: list[CloudMachine], given_up: Mapping[int, str]) -> None:
        with self._changed:
            known = self._known.get(instance)
            if known is not None and known.wanted:
                return  # started by no pool: a number is never used again
        if known is None:
            for machine in found:
                self._end(machine, "no instance on record has its mark")
            return
        first, *younger = [one for one in found if one.worker == known.worker] or found
        for machine in younger:
            self._end(machine, f"machine {first.id} has the same mark and is older")
        if first.worker != known.worker:
            self._end(first, f"its mark says worker {first.worker!r}, and instance {instance} is of {known.worker!r}")
            return
        waiting = first.seen is Seen.WAITING
        if known.machine != first.id or not known.reported:
            with self._changed:
                known.machine, known.unclear_until, known.reported, known.waiting = first.id, None, True, waiting
            self._tell(
                InstanceStarted(instance=instance, reference=str(first.id), address=first.address, waiting=waiting)
            )
        elif known.waiting and not waiting:
            known.waiting = False
            self._tell(InstancePlaced(instance=instance))
        # Why it will never work, or not any more; empty: it may.
        why = first.message if first.seen is Seen.BROKEN else given_up.get(first.id, "")
        if why and not known.ending:
            with self._changed:
                known.ending, known.no_capacity = why, first.seen is Seen.WAITING
        if known.ending:
            self._end(first, known.ending)

    def _not_listed(self, instance: int, begun: float) -> None:
        with self._changed:
            known = self._known.get(instance)
            if known is None or known.wanted:
                return
            if known.unclear_until is not None and begun < known.unclear_until:
                return  # the call may still be worked on
            self._forget(instance)
        event: InstanceStartFailed | InstanceEnded
        if known.unclear_until is not None:
            why = "the call got no answer, and no machine was made"
            event = InstanceStartFailed(instance=instance, reason=why)
        elif known.no_capacity:
            event = InstanceStartFailed(instance=instance, reason=known.ending, full=True)
        else:
            why = known.ending or "OpenNebula does not list its machine any more"
            event = InstanceEnded(instance=instance, reason=why)
        self._tell(event)

    def _end(self, machine: CloudMachine, why: str) -> None:
        if machine.seen is Seen.ENDING:
            return
        hard = self._options.role != "datastore" or machine.seen is Seen.UNREACHABLE
        logger.info("machine %d (worker %s) is ended: %s", machine.id, machine.worker, why, extra={"action": "end"})
        try:
            self._calls.terminate(machine.id, hard=hard)
        except CloudError as error:
            # The next list shows it again, and it is asked again: a machine that boots cannot be ended, say.
            logger.info("machine %d cannot be ended now: %s", machine.id, error, extra={"action": "end_later"})

    def _poll_capacity(self, now: float) -> None:
        """What quotas and network leave; now and then, and after a refusal."""
        if now < self._capacity_at + self._options.room_seconds:
            return
        self._capacity_at = now
        try:
            own = self._calls.template(self._calls.template_id(self._options.template))
            found = quotas.tightest(self._calls.bounds(self._options.network, own))
        except CloudError as error:
            logger.info("the free capacity is not known: %s", error, extra={"action": "capacity"})
            return
        with self._changed:
            self._capacity, self._begun_since = found, 0

    # --- parts -----------------------------------------------------------------------------------------

    def _forget(self, instance: int) -> None:
        self._known.pop(instance, None)
        if instance in self._starts:
            self._starts.remove(instance)

    def _say(self, sentence: str) -> None:
        with self._changed:
            if sentence != self._call_warning:
                logger.warning("%s", sentence, extra={"action": "cloud_warning"})
            self._call_warning = sentence

    def _tell(self, event: OfInstance) -> None:
        if not self._closed:
            self._notify(event)
