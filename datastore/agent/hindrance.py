"""What keeps results from being published at present, as people are told it. Pure.

Nothing is lost by a hindrance: what waits for the disk is tried again after a while.
"""

from __future__ import annotations

from datastore.agent.state import State
from wire.messages import DatastoreHeartbeat


def found(state: State, where: str, reason: str) -> None:
    before = text(state)
    state.hindrances[where] = reason
    if text(state) != before:
        say(state)


def clear(state: State, where: str) -> None:
    if state.hindrances.pop(where, None) is not None:
        say(state)


def text(state: State) -> str:
    return "; ".join(dict.fromkeys(state.hindrances.values()))


def say(state: State) -> None:
    """A heartbeat now; the next one a whole period later."""
    state.heartbeat_due = state.now + state.policy.heartbeat_seconds
    if state.linked and state.ready:
        state.report(DatastoreHeartbeat(disk_free=state.disk_free, hindrance=text(state)))
