"""The network interface (NIC) of an instance for init tasks: there while they run, if the pool has an `init_network`.

What stands in the instance's row is what was requested and answered last; whether a NIC is required follows from the
init executions under way. So after any crash the same is requested again: providers find a NIC that is there already.
"""

from __future__ import annotations

from boss.core import attempts, quarantine
from boss.core.effects import AttachNetwork, DetachNetwork
from boss.core.events import NetworkAttached, NetworkAttachFailed, NetworkDetached
from boss.core.instance_state import NIC_DETACHING, NIC_REQUESTED, nic_name, nic_state, save_instance, with_nic
from boss.core.legal import NIC_MOVES
from boss.core.model import Ended, NicState
from boss.core.state import Instance, State
from boss.core.story import illegal


def settle(state: State) -> None:
    """The end of a turn: workers whose init executions started or ended in it."""
    for worker_id in state.nics_due:
        instance = with_nic(state, worker_id)
        if instance is not None:
            _ask(state, instance)
    state.nics_due.clear()


def nic_due(state: State, number: int) -> None:
    """Requested and not answered: the call, or its answer, may have died with a boss.

    One that is not required any more is requested all the same: if it is there, it is to be detached.
    """
    instance = state.instances.get(number)
    if instance is None or with_nic(state, instance.row.worker) is not instance:
        return
    if nic_state(instance) is NicState.REQUESTED:
        _attach(state, instance)
        state.at(state.now + state.policy.ask_again, "nic", number)
    else:
        _ask(state, instance)


def on_attached(state: State, event: NetworkAttached) -> None:
    instance = state.instances.get(event.instance)
    if instance is None or nic_name(instance) == event.nic:
        return
    set_nic(state, instance, NicState.ATTACHED, event.nic, f"network interface {event.nic} is there")
    worker = state.workers.get(instance.row.worker)
    if worker is not None:
        for attempt in list(worker.attempts.values()):
            if attempt.init and not attempt.started():
                attempts.order_run(state, worker, attempt)
    _ask(state, instance)


def on_attach_failed(state: State, event: NetworkAttachFailed) -> None:
    """A failed try of what waited for it, on this worker."""
    instance = state.instances.get(event.instance)
    if instance is None or nic_state(instance) is not NicState.REQUESTED:
        return
    set_nic(state, instance, NicState.NONE, "", event.reason)
    worker = state.workers.get(instance.row.worker)
    if worker is None:
        return
    for attempt in [one for one in worker.attempts.values() if one.init and not one.started()]:
        reason = f"its machine got no network interface in the network for init tasks: {event.reason}"
        attempts.end(state, attempt, Ended.FAILED, reason)
        quarantine.init_failed(state, worker, attempt, reason)


def on_detached(state: State, event: NetworkDetached) -> None:
    instance = state.instances.get(event.instance)
    if instance is None or nic_state(instance) is not NicState.DETACHING or nic_name(instance) != event.nic:
        return
    set_nic(state, instance, NicState.NONE, "", "its network interface is gone")
    _ask(state, instance)  # another init task may have come meanwhile


# --- parts -------------------------------------------------------------------------------------------


def _ask(state: State, instance: Instance) -> None:
    """What is to become of the NIC. One that is being detached is waited for before another is requested."""
    row, name = instance.row, nic_name(instance)
    worker = state.workers.get(row.worker)
    required = worker is not None and any(attempt.init for attempt in worker.attempts.values())
    if not required and nic_state(instance) is NicState.ATTACHED:
        set_nic(state, instance, NicState.DETACHING, name, "no init task requires it any more")
    if nic_state(instance) is NicState.DETACHING:
        state.effects.append(DetachNetwork(instance=row.number, pool=row.pool, reference=row.reference, nic=name))
    elif required and nic_state(instance) is NicState.NONE:
        set_nic(state, instance, NicState.REQUESTED, "", "init tasks wait for it")
        _attach(state, instance)
    else:
        return
    state.at(state.now + state.policy.ask_again, "nic", row.number)


def _attach(state: State, instance: Instance) -> None:
    row, network = instance.row, state.policy.pool(instance.row.pool).init_network
    state.effects.append(AttachNetwork(instance=row.number, pool=row.pool, reference=row.reference, network=network))


def set_nic(state: State, instance: Instance, to: NicState, name: str, cause: str) -> None:
    """The one place where a NIC changes. `name`: of one that is attached or being detached. Raises IllegalMoveError."""
    row, before = instance.row, nic_state(instance)
    if to not in NIC_MOVES[before]:
        raise illegal(state, "instance", row.number, f"NIC {before}", f"NIC {to}", cause)
    name_in_row = {NicState.REQUESTED: NIC_REQUESTED, NicState.DETACHING: NIC_DETACHING + name}.get(to, name)
    state.journal("instance", str(row.number), 0, f"NIC {row.nic or 'none'}", f"NIC {name_in_row or 'none'}", cause)
    row.nic = name_in_row
    save_instance(state, instance)
