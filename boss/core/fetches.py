"""Results that clients ask of a datastore elsewhere: requested there, and answered when the boss has them. Pure.

Nothing of it is on disk: a request lives no longer than this boss, and its client asks the next boss again.
"""

from __future__ import annotations

from boss.core.effects import Answer
from boss.core.events import SendAsked
from boss.core.reasons import Rejection, RejectionKind
from boss.core.state import ContentRequest, State
from wire.messages import Send, SendFailed, Sent

_NOT_THERE = Rejection(
    RejectionKind.NO_DATASTORE,
    "the datastore is not connected, so nothing can be fetched from it; ask again when it is",
)


def on_send_asked(state: State, event: SendAsked) -> None:
    if not state.datastore.incarnation or not state.datastore.connected:
        state.effects.append(Answer(reply=event.reply, rejections=[_NOT_THERE]))
        return
    sending = state.sending.get(event.digest)
    if sending is None:
        order = Send(name=event.name, digest=event.digest, size=event.size)
        sending = state.sending[event.digest] = ContentRequest(order)
        _ask(state, sending)
    sending.replies.append(event.reply)


def ask_old(state: State, before: float) -> None:
    """Again for those that were asked for by then and not answered."""
    for sending in state.sending.values():
        if sending.asked_at <= before:
            _ask(state, sending)


def _ask(state: State, sending: ContentRequest) -> None:
    sending.asked_at = state.now
    state.ask(sending.order)


def on_sent(state: State, report: Sent) -> None:
    _answer(state, report.digest, [])


def on_send_failed(state: State, report: SendFailed) -> None:
    _answer(state, report.digest, [Rejection(RejectionKind.NOT_SENT, report.reason)])


def _answer(state: State, digest: str, rejections: list[Rejection]) -> None:
    sending = state.sending.pop(digest, None)
    for reply in sending.replies if sending is not None else ():
        state.effects.append(Answer(reply=reply, rejections=list(rejections)))
