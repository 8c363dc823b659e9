"""What keeps results from being published at present, as sentences for operators. Pure.

Nothing is lost by it: what waits for the disk is tried again after a while.
"""

from __future__ import annotations

from datastore.agent.state import DatastoreAgentState
from wire.messages import DatastoreHeartbeat


def add(state: DatastoreAgentState, where: str, reason: str) -> None:
    before = text(state)
    state.warnings[where] = reason
    if text(state) != before:
        send(state)


def clear(state: DatastoreAgentState, where: str) -> None:
    if state.warnings.pop(where, None) is not None:
        send(state)


def text(state: DatastoreAgentState) -> str:
    return "; ".join(dict.fromkeys(state.warnings.values()))


def send(state: DatastoreAgentState) -> None:
    """A heartbeat now; the next one a whole period later."""
    state.heartbeat_due = state.now + state.policy.heartbeat_seconds
    if state.linked and state.ready:
        state.report(DatastoreHeartbeat(disk_free=state.disk_free, warning=text(state)))
