"""The temporary network card of a machine: there while init tasks run on it, where the pool has an `init_network`.

What stands in the instance's row is what was asked and answered last; whether a card is wanted follows from the init
executions under way. So after any crash the same is asked again: providers find a card that is there already.
"""

from __future__ import annotations

from boss.core import attempts, quarantine
from boss.core.effects import AttachNetwork, DetachNetwork
from boss.core.events import NetworkAttached, NetworkAttachFailed, NetworkDetached
from boss.core.instance_state import ASKED, LEAVING, has_card, save_instance, with_cards
from boss.core.model import Ended
from boss.core.state import Instance, State


def settle(state: State) -> None:
    """The end of a turn: workers whose init executions began or ended in it."""
    for worker_id in state.carded:
        instance = with_cards(state, worker_id)
        if instance is not None:
            _ask(state, instance)
    state.carded.clear()


def card_due(state: State, number: int) -> None:
    """Asked and not answered: the call, or its answer, may have died with a boss.

    Whether there is a card is asked for even if none is wanted any more: it is to be taken away then.
    """
    instance = state.instances.get(number)
    if instance is None or with_cards(state, instance.row.worker) is not instance:
        return
    if instance.row.card == ASKED:
        _attach(state, instance)
        state.at(state.now + state.policy.ask_again, "card", number)
    else:
        _ask(state, instance)


def on_attached(state: State, event: NetworkAttached) -> None:
    instance = state.instances.get(event.instance)
    if instance is None or instance.row.card.removeprefix(LEAVING) == event.card:
        return
    # A machine has one such card: another one than was known came after that was gone, as an answer to an older asking.
    _set_card(state, instance, event.card, f"card {event.card} is there")
    worker = state.workers.get(instance.row.worker)
    if worker is not None:
        for attempt in list(worker.attempts.values()):
            if attempt.init and not attempt.begun():
                attempts.order_run(state, worker, attempt)
    _ask(state, instance)


def on_attach_failed(state: State, event: NetworkAttachFailed) -> None:
    """A failed try of what waited for it, on this worker."""
    instance = state.instances.get(event.instance)
    if instance is None or instance.row.card != ASKED:
        return
    _set_card(state, instance, "", event.reason)
    worker = state.workers.get(instance.row.worker)
    if worker is None:
        return
    for attempt in [one for one in worker.attempts.values() if one.init and not one.begun()]:
        reason = f"its machine got no card in the network for init tasks: {event.reason}"
        attempts.end(state, attempt, Ended.FAILED, reason)
        quarantine.init_failed(state, worker, attempt, reason)


def on_detached(state: State, event: NetworkDetached) -> None:
    instance = state.instances.get(event.instance)
    if instance is None or instance.row.card != LEAVING + event.card:
        return
    _set_card(state, instance, "", "its card is gone")
    _ask(state, instance)  # another init task may have come meanwhile


# --- parts -------------------------------------------------------------------------------------------


def _wanted(state: State, instance: Instance) -> bool:
    worker = state.workers.get(instance.row.worker)
    return worker is not None and any(attempt.init for attempt in worker.attempts.values())


def _ask(state: State, instance: Instance) -> None:
    """What is to become of the card. One that is on its way out is waited for before another is asked for."""
    row = instance.row
    wanted = _wanted(state, instance)
    if not wanted and has_card(instance):
        _set_card(state, instance, LEAVING + row.card, "no init task needs it any more")
    if row.card.startswith(LEAVING):
        card = row.card.removeprefix(LEAVING)
        state.effects.append(
            DetachNetwork(instance=row.number, worker=row.worker, pool=row.pool, reference=row.reference, card=card)
        )
    elif wanted and not row.card:
        _set_card(state, instance, ASKED, "init tasks wait for it")
        _attach(state, instance)
    else:
        return
    state.at(state.now + state.policy.ask_again, "card", row.number)


def _attach(state: State, instance: Instance) -> None:
    row = instance.row
    network = state.policy.pool(row.pool).init_network
    state.effects.append(
        AttachNetwork(instance=row.number, worker=row.worker, pool=row.pool, reference=row.reference, network=network)
    )


def _set_card(state: State, instance: Instance, card: str, cause: str) -> None:
    row = instance.row
    state.journal("instance", str(row.number), 0, f"card {row.card or 'none'}", f"card {card or 'none'}", cause)
    row.card = card
    save_instance(state, instance)
