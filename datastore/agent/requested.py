"""Content that the boss wants sent, because a user asked for it. Pure.

Nothing is decided here but that one content is sent once at a time; a question that is repeated meanwhile has its
answer already on the way.
"""

from __future__ import annotations

from datastore.agent.effects import SendFile
from datastore.agent.events import FileSent
from datastore.agent.state import DatastoreAgentState, IgnoredEvent
from datastore.paths import NameRefusedError, clean_name
from wire.messages import Send, SendFailed


def on_send(state: DatastoreAgentState, order: Send) -> None:
    try:
        clean_name(order.name)
    except NameRefusedError as error:
        state.report(SendFailed(digest=order.digest, reason=str(error)))
        return
    if order.digest not in state.sending:
        state.sending[order.digest] = order
        state.effects.append(SendFile(order))


def on_sent(state: DatastoreAgentState, event: FileSent) -> None:
    if state.sending.pop(event.answer.digest, None) is None:
        state.ignore(IgnoredEvent.NO_SUCH_SENDING)
        return
    state.report(event.answer)
