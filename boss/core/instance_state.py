"""What is known of instances: look-ups, and the one place where an instance's state changes."""

from __future__ import annotations

from boss.core.model import COMING, InstanceState
from boss.core.state import Instance, State

#: The worker id of the datastore's machine.
DATASTORE = "datastore"
#: In a row: a card was asked for, and nobody has said which it is; what stands before one that is to be taken away.
ASKED, LEAVING = "asked", "-"


def instance_of(state: State, worker_id: str) -> Instance | None:
    """The live instance that was started for this worker."""
    number = state.instance_for.get(worker_id)
    return state.instances.get(number) if number is not None else None


def instance_said_hello(state: State, worker_id: str) -> Instance | None:
    """The instance of a worker that speaks; what its boot took is remembered."""
    instance = instance_of(state, worker_id)
    if instance is None or instance.state not in COMING:
        return instance
    known = state.pools.get(instance.row.pool)
    if known is not None:
        known.learn_boot(state.wall - instance.row.requested_at)
        known.serves(instance.seen_at, state.now)
    instance.row.hello_at = state.wall
    set_instance_state(state, instance, InstanceState.RUNNING, "its worker said hello")
    return instance


def with_cards(state: State, worker_id: str) -> Instance | None:
    """Its instance, if its pool gives machines a card for init tasks."""
    instance = instance_of(state, worker_id)
    if instance is None or not state.policy.pool(instance.row.pool).init_network:
        return None
    return instance if instance.state is InstanceState.RUNNING else None


def has_card(instance: Instance) -> bool:
    """There, and not to be taken away."""
    return bool(instance.row.card) and instance.row.card != ASKED and not instance.row.card.startswith(LEAVING)


def waits_for_card(state: State, worker_id: str) -> bool:
    """What an init task needs on this worker is not there yet."""
    instance = with_cards(state, worker_id)
    return instance is not None and not has_card(instance)


def set_instance_state(state: State, instance: Instance, to: InstanceState, cause: str) -> None:
    state.journal("instance", str(instance.row.number), 0, instance.state.value, to.value, cause)
    instance.state = to
    instance.row.state = to.value
    instance.row.reason = cause
    state.scale_due = True
    save_instance(state, instance)


def save_instance(state: State, instance: Instance) -> None:
    instance.row.changed_at = state.wall
    state.changes.instances[instance.row.number] = instance.row
