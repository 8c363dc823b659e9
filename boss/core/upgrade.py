"""Workers that run from another bundle than the boss's are to replace themselves. Pure.

A worker states in its hello which bundle it runs from; which ones the boss has comes in an event. Nothing of it is on
disk: both come again after a start.
"""

from __future__ import annotations

from boss.core.events import BundlesKnown
from boss.core.state import State, Worker
from wire.messages import Replace


def on_bundles_known(state: State, event: BundlesKnown) -> None:
    state.bundles = dict(event.bundles)
    for worker in state.workers.values():
        check_bundle(state, worker)


def check_bundle(state: State, worker: Worker) -> None:
    """A worker of no bundle is replaced by its operator."""
    if is_old(state, worker) and worker.serves():
        kind = worker.bundle.partition("=")[0]
        state.send(worker, Replace(kind=kind, digest=state.bundles[kind]))


def is_old(state: State, worker: Worker) -> bool:
    """It runs from another bundle than the boss's, or is just replacing itself."""
    kind, _, digest = worker.bundle.partition("=")
    newest = state.bundles.get(kind)
    return newest is not None and newest != digest
