"""What a worker is, as far as its login and the settings say so: its pool, labels and slots.

A hello states all three, and they decide which tasks a worker is sent, how many, and how many machines its pool is
given. So the pool is that of its instance, else of its login; of its labels only those count which the pool's settings,
or the login, grant; and its slots at most as many. A worker that states more is no error: it works on within these
bounds, and operators read what it stated (`boss.core.diagnosis`).
"""

from __future__ import annotations

from collections.abc import Mapping

from boss.core.assignment import window
from boss.core.instance_state import instance_of
from boss.core.policy import Grant
from boss.core.ready import Kind
from boss.core.state import Claim, State, Worker
from wire.messages import WorkerHello

#: Labels of a claim that are kept for the operator's sentence.
SHOWN = 8


def grant_of(state: State, worker_id: str) -> Grant:
    """What this worker may be: as its instance's pool says, else as its login does."""
    instance = instance_of(state, worker_id)
    if instance is None:
        return state.grants.get(worker_id, Grant())
    pool = state.policy.pool(instance.row.pool)
    return Grant(pool=pool.name, labels=pool.labels, slots=pool.max_slots or pool.slots)


def believed(state: State, worker_id: str, hello: WorkerHello) -> tuple[Kind, Claim]:
    """What it counts as, and what it stated beyond that."""
    grant = grant_of(state, worker_id)
    kind = bounded(state, grant, hello.slots, hello.labels, hello.memory)
    refused = {name: value for name, value in hello.labels.items() if grant.labels.get(name) != value}
    claim = Claim(
        pool=hello.pool if hello.pool not in ("", grant.pool) else "",
        labels=tuple(sorted(refused.items())[:SHOWN]),
        slots=hello.slots if hello.slots > kind.slots and hello.slots > 1 else 0,
        of_instance=instance_of(state, worker_id) is not None,
    )
    return kind, claim


def bounded(state: State, grant: Grant, slots: int, labels: Mapping[str, str], memory: int) -> Kind:
    """What a worker that states this counts as."""
    granted = {name: value for name, value in labels.items() if grant.labels.get(name) == value}
    limit = grant.slots or state.policy.max_slots
    return Kind(grant.pool, tuple(sorted(granted.items())), max(1, min(slots, limit)), memory)


def apply(state: State, worker: Worker, hello: WorkerHello) -> None:
    """After an accepted hello: its bounds may be others than at its start (a new grant, a new start of the boss)."""
    kind, worker.claim = believed(state, worker.id, hello)
    _set_kind(state, worker, kind)
    row = worker.row
    if (row.pool, row.slots, row.memory, row.labels) != (kind.pool, kind.slots, kind.memory, dict(kind.labels)):
        row.pool, row.slots, row.memory, row.labels = kind.pool, kind.slots, kind.memory, dict(kind.labels)
        state.changes.workers[worker.id] = row


def restored(state: State, worker: Worker) -> None:
    """Its row may be of a boss that believed more: until its next hello it counts as what it may be."""
    row = worker.row
    _set_kind(state, worker, bounded(state, grant_of(state, worker.id), row.slots, row.labels, row.memory))


def _set_kind(state: State, worker: Worker, kind: Kind) -> None:
    if kind != worker.kind:
        window.unmark_free_slots(state, worker)
        worker.kind = kind
        state.load(worker, 0)
