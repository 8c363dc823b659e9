"""What keeps results from being published at present, as people are told it. Pure.

Nothing is lost by a hindrance: what waits for the disk is tried again after a while.
"""

from __future__ import annotations

from datastore.agent.state import DatastoreAgentState
from wire.messages import DatastoreHeartbeat


def found(state: DatastoreAgentState, where: str, reason: str) -> None:
    before = text(state)
    state.hindrances[where] = reason
    if text(state) != before:
        say(state)


def clear(state: DatastoreAgentState, where: str) -> None:
    if state.hindrances.pop(where, None) is not None:
        say(state)


def text(state: DatastoreAgentState) -> str:
    return "; ".join(dict.fromkeys(state.hindrances.values()))


def say(state: DatastoreAgentState) -> None:
    """A heartbeat now; the next one a whole period later."""
    state.heartbeat_due = state.now + state.policy.heartbeat_seconds
    if state.linked and state.ready:
        state.report(DatastoreHeartbeat(disk_free=state.disk_free, hindrance=text(state)))
