"""How long machines may wait for a host, or be seen no more with theirs, before they are given up. Pure but for time.

"No host has room" is no error of OpenNebula: such a machine is made, and stays PENDING for ever. Only its SCHED_MESSAGE
tells. One whose host does not answer stays UNKNOWN until an administrator looks.
"""

from __future__ import annotations

from collections.abc import Iterable

from boss.providers.opennebula.machines import CloudMachine, Seen

#: A message of the scheduler's pace, not of a lack.
_PACE = "Dispatch limit reached"
#: A machine that waits so long is spoken of: a scheduler that is well takes up to a minute or two for many.
SPEAK_SECONDS = 60.0


class MachineTimeouts:
    """Is given every list."""

    def __init__(self, pending_seconds: float, unknown_seconds: float) -> None:
        self._limits = {Seen.WAITING: pending_seconds, Seen.UNREACHABLE: unknown_seconds}
        #: Machine -> (what it is, since when, its message).
        self._since: dict[int, tuple[Seen, float, str]] = {}

    def observe(self, listed: Iterable[CloudMachine], now: float) -> dict[int, str]:
        """Machines to be given up, each with the reason."""
        before, self._since = self._since, {}
        for machine in listed:
            if machine.seen in self._limits:
                seen, since, _ = before.get(machine.id, (None, now, ""))
                self._since[machine.id] = (machine.seen, since if seen is machine.seen else now, machine.message)
        return {
            number: _reason(seen, now - since, message)
            for number, (seen, since, message) in self._since.items()
            if now - since >= self._limits[seen]
        }

    def warnings(self, now: float) -> list[str]:
        """A sentence each, for operators."""
        waiting = [one for one in self._since.values() if one[0] is Seen.WAITING and now - one[1] >= SPEAK_SECONDS]
        lost = [one for one in self._since.values() if one[0] is Seen.UNREACHABLE]
        found = []
        if waiting:
            longest = max(now - since for _, since, _ in waiting)
            message = next((text for _, _, text in waiting if text), "OpenNebula does not say why")
            who = (
                "1 machine waits for a host," if len(waiting) == 1 else f"{len(waiting)} machines wait for a host, one"
            )
            found.append(f"{who} for {longest:.0f} s already: {message}")
        if lost:
            who = "the host of 1 machine does" if len(lost) == 1 else f"the hosts of {len(lost)} machines do"
            found.append(f"{who} not answer (state UNKNOWN)")
        return found

    def no_capacity(self, now: float) -> str:
        """Why more machines would only wait; empty: no sign of that."""
        for seen, since, message in self._since.values():
            lacking = message and _PACE not in message
            if seen is Seen.WAITING and lacking and now - since >= SPEAK_SECONDS:
                return f"no host has free capacity: {message}"
        return ""


def _reason(seen: Seen, seconds: float, message: str) -> str:
    if seen is Seen.WAITING:
        return f"no host took it within {seconds:.0f} s: {message or 'OpenNebula does not say why'}"
    return f"its host did not answer for {seconds:.0f} s (state UNKNOWN)"
