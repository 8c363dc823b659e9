"""Results that clients ask of a datastore elsewhere: requested there, and answered when the boss has them, or knows
whether they are there. Pure.

Nothing of it is on disk: a request lives no longer than this boss, and its client asks the next boss again.
"""

from __future__ import annotations

from boss.core.effects import Answer
from boss.core.events import ResultsAsked, SendAsked
from boss.core.reasons import Rejection, RejectionKind
from boss.core.state import ContentRequest, ResultsRequest, State
from wire.messages import Found, LookUp, Send, SendFailed, Sent

#: The longest wait for the answer to which results are there.
CHECK_SECONDS = 30.0
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


def on_results_asked(state: State, event: ResultsAsked) -> None:
    if not state.datastore.incarnation or not state.datastore.connected or event.task in state.checking:
        state.effects.append(Answer(reply=event.reply, rejections=[_NOT_THERE]))
        return
    request = state.checking[event.task] = ResultsRequest(LookUp(task=event.task, names=event.names), [event.reply])
    _check(state, request)
    state.at(state.now + CHECK_SECONDS, "check", event.task)


def check_due(state: State, task: int) -> None:
    """It is not waited for any longer: a push must not hang for it."""
    request = state.checking.pop(task, None)
    for reply in request.replies if request is not None else ():
        state.effects.append(Answer(reply=reply, rejections=[_NOT_THERE]))


def on_found(state: State, report: Found) -> bool:
    """True: it answers such a request."""
    request = state.checking.pop(report.task, None)
    if request is None:
        return False
    found = {file.name: file.size for file in report.files}
    for reply in request.replies:
        state.effects.append(Answer(reply=reply, value={"found": found}))
    return True


def _check(state: State, request: ResultsRequest) -> None:
    request.asked_at = state.now
    state.ask(request.order)


def ask_old(state: State, before: float) -> None:
    """Again for those that were asked for by then and not answered."""
    for sending in state.sending.values():
        if sending.asked_at <= before:
            _ask(state, sending)
    for request in state.checking.values():
        if request.asked_at <= before:
            _check(state, request)


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
