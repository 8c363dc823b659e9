"""What is known of instances: look-ups, and the one place where an instance's state changes."""

from __future__ import annotations

from boss.core.legal import INSTANCE_MOVES
from boss.core.model import COMING, InstanceState, NicState
from boss.core.state import Instance, State
from boss.core.story import illegal

#: The worker id of the datastore's machine.
DATASTORE = "datastore"
#: In a row, instead of the name of its NIC: one was requested, and its name is not known; before the name: is detached.
NIC_REQUESTED, NIC_DETACHING = "asked", "-"


def instance_of(state: State, worker_id: str) -> Instance | None:
    """The live instance that was started for this worker."""
    number = state.instance_for.get(worker_id)
    return state.instances.get(number) if number is not None else None


def instance_said_hello(state: State, worker_id: str) -> Instance | None:
    """The instance of a worker that says hello; what its boot took is remembered."""
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


def with_nic(state: State, worker_id: str) -> Instance | None:
    """Its instance, if its pool gives instances a NIC for init tasks."""
    instance = instance_of(state, worker_id)
    if instance is None or not state.policy.pool(instance.row.pool).init_network:
        return None
    return instance if instance.state is InstanceState.RUNNING else None


def nic_state(instance: Instance) -> NicState:
    """Of its NIC for init tasks."""
    nic = instance.row.nic
    if nic in ("", NIC_REQUESTED):
        return NicState.REQUESTED if nic else NicState.NONE
    return NicState.DETACHING if nic.startswith(NIC_DETACHING) else NicState.ATTACHED


def nic_name(instance: Instance) -> str:
    """What the provider calls the NIC that is attached or being detached."""
    return instance.row.nic.removeprefix(NIC_DETACHING)


def waits_for_nic(state: State, worker_id: str) -> bool:
    """What an init task requires on this worker is not there yet."""
    instance = with_nic(state, worker_id)
    return instance is not None and nic_state(instance) is not NicState.ATTACHED


def set_instance_state(state: State, instance: Instance, to: InstanceState, cause: str) -> None:
    """The one place where the state of an instance changes. Raises IllegalMoveError."""
    if to not in INSTANCE_MOVES[instance.state]:
        raise illegal(state, "instance", instance.row.number, instance.state, to, cause)
    state.journal("instance", str(instance.row.number), 0, instance.state.value, to.value, cause)
    instance.state = to
    instance.row.state = to.value
    instance.row.reason = cause
    state.scale_due = True
    save_instance(state, instance)


def save_instance(state: State, instance: Instance) -> None:
    instance.row.changed_at = state.wall
    state.changes.instances[instance.row.number] = instance.row
