"""What is known of instances: look-ups, and the one place where an instance's state changes."""

from __future__ import annotations

from boss.core.model import InstanceState
from boss.core.state import Instance, State

OVER = (InstanceState.GONE, InstanceState.FAILED)


def instance_of(state: State, worker_id: str) -> Instance | None:
    """The live instance that was started for this worker."""
    for instance in state.instances.values():
        if instance.row.worker == worker_id and instance.state not in OVER:
            return instance
    return None


def instance_said_hello(state: State, worker_id: str) -> None:
    instance = instance_of(state, worker_id)
    if instance is not None and instance.state in (InstanceState.REQUESTED, InstanceState.BOOTING):
        set_instance_state(state, instance, InstanceState.RUNNING, "its worker said hello")


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
