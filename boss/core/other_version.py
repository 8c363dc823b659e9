"""Agents that use another version of the protocol: replaced, stopped, or refused.

    a worker whose machine the boss made    is ordered to fetch the boss's program (`Replace`), and comes back with it
    a worker beside the boss                is ordered to stop; another one is started in its place
    any other worker, and the datastore     is sent nothing: `status` and the log state what the operator can do

What such an agent reports is not acted upon, but its lease holds while it executes: the one that comes after it in the
same home has the outcomes. Once it executes nothing it has to come back within its lease, like any silent worker.
Nothing of it is on disk: agents report again after a start of the boss.
"""

from __future__ import annotations

from boss.core import workers
from boss.core.events import OtherVersionReported
from boss.core.instance_state import DATASTORE, instance_of
from boss.core.model import WorkerState
from boss.core.policy import LOCAL
from boss.core.reasons import ReportRejection
from boss.core.state import OtherVersionAgent, State
from boss.core.waits import VersionAnswer
from wire.messages import Replace, SayHello, Stop
from wire.other_version import ORDERED

#: Agents that are remembered at a time.
MAX_AGENTS = 1000


def on_reported(state: State, event: OtherVersionReported) -> None:
    message = event.message
    if event.agent != DATASTORE and message.worker != event.agent:
        state.reject(ReportRejection.OTHER_WORKER)
    elif message.deployment not in (state.deployment, ""):  # one that was started manually learns it from its boss
        state.reject(ReportRejection.OTHER_DEPLOYMENT)
    elif _is_former(state, event):
        state.reject(ReportRejection.FORMER_INCARNATION)
    else:
        state.reject(ReportRejection.OTHER_VERSION)
        agent = _agent(state, event)
        if agent is not None:
            _heard(state, agent, event)


def _is_former(state: State, event: OtherVersionReported) -> bool:
    """It reported before the one that the boss knows now."""
    incarnation = event.message.incarnation
    if event.agent == DATASTORE:
        return incarnation == state.datastore.incarnation
    worker = state.workers.get(event.agent)
    return worker is not None and (
        incarnation in worker.former or (worker.incarnation == incarnation and worker.state is WorkerState.GONE)
    )


def _agent(state: State, event: OtherVersionReported) -> OtherVersionAgent | None:
    """None: there are too many of them."""
    message, known = event.message, state.other_versions
    agent = known.get(event.agent)
    if agent is not None and agent.incarnation == message.incarnation:
        return agent
    if agent is None and len(known) >= MAX_AGENTS:
        for name in [name for name, one in known.items() if not one.is_recent(state)]:
            del known[name]
        if len(known) >= MAX_AGENTS:
            return None
    known[event.agent] = agent = OtherVersionAgent(event.agent, message.incarnation, message.version)
    return agent


def _heard(state: State, agent: OtherVersionAgent, event: OtherVersionReported) -> None:
    agent.heard = state.now
    hello = event.message.hello
    if hello is not None:
        agent.said_hello, agent.bundle, agent.executes = True, hello.bundle, event.message.executes
    worker = state.workers.get(agent.name)
    if worker is not None and worker.incarnation == agent.incarnation and agent.executes:
        worker.heard = state.now
    answer, order = _decide(state, agent)
    if answer is not agent.answer:
        agent.answer = answer
        word = worker.state.value if worker is not None else "new"
        cause = f"it uses version {agent.version} of the protocol: {answer.value}"
        state.journal("datastore" if agent.name == DATASTORE else "worker", agent.name, 0, word, word, cause)
    if order is None:
        return
    if hello is None and agent.ordered is type(order):
        if state.now - agent.ordered_at < state.policy.ask_again:
            return
        order = SayHello()  # its hello states whether it still executes something, and is answered by the order
    agent.ordered, agent.ordered_at = type(order), state.now
    workers.send_to_incarnation(state, agent.name, agent.incarnation, [order], version=agent.version)


def _decide(state: State, agent: OtherVersionAgent) -> tuple[VersionAnswer, SayHello | Stop | Replace | None]:
    """What becomes of it, and the order for that; None: none at present."""
    instance = None if agent.name == DATASTORE else instance_of(state, agent.name)
    if instance is None or agent.version not in ORDERED:
        return VersionAnswer.REFUSED, None
    if instance.row.provider == LOCAL:
        return VersionAnswer.STOPPED, Stop()
    if not agent.said_hello:
        return VersionAnswer.REPLACED, SayHello()
    kind = agent.bundle.partition("=")[0]
    if kind in state.bundles:
        return VersionAnswer.REPLACED, Replace(kind=kind, digest=state.bundles[kind])
    # Bundles are made when the boss starts: until then it is not known.
    return (VersionAnswer.REFUSED if state.bundles or not kind else VersionAnswer.REPLACED), None
