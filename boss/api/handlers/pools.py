"""Handlers for pools and instances: lists, and what operators start, terminate and drop.

Reads the view; posts events. Whether something fits is the scheduler's decision; unknown names are refused here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from boss.api.errors import HttpError, bad_input, not_found
from boss.api.handlers.changes import done
from boss.api.routes import Call
from boss.api.schema import (
    DroppedAnswer,
    DropRequest,
    InstanceList,
    PoolList,
    StartedAnswer,
    StartRequest,
    TerminatedAnswer,
    TerminateRequest,
)
from boss.common.suggestions import did_you_mean
from boss.core.events import DropWorkersAsked, InstancesAsked, TerminateAsked

#: Workers that one request may start.
MAX_AT_ONCE = 10_000
#: Names that an error lists.
_LISTED = 10


def listing(call: Call) -> PoolList:
    """Pools as the view has them."""
    return PoolList(pools=list(call.backend.view().pools))


def instances(call: Call) -> InstanceList:
    """Instances as the view has them, or those of one pool. Raises HttpError 404: there is no such pool."""
    view = call.backend.view()
    pool = call.text("pool")
    if pool:
        _refuse_unknown("pool", [pool], [each.name for each in view.pools])
    return InstanceList(instances=[each for each in view.instances if pool in ("", each.pool)])


def start(call: Call) -> StartedAnswer:
    """Start workers, whatever the demand; blocks until the commit, and not until they have booted.

    Raises HttpError 400: `count` is not from 1 to 10,000; 404: no such pool; 503: no boss runs; else as `done`.
    """
    request = call.request_body(StartRequest)
    _require_boss(call)
    if not 1 <= request.count <= MAX_AT_ONCE:
        raise bad_input(f"count is {request.count}; it must be a number from 1 to {MAX_AT_ONCE:,}")
    if request.pool:
        _refuse_unknown("pool", [request.pool], [each.name for each in call.backend.view().pools])
    change = done(call, InstancesAsked(pool=request.pool, count=request.count, keep_alive=request.keep_alive))
    return msgspec.convert(change.done, StartedAnswer)


def terminate(call: Call) -> TerminatedAnswer:
    """Terminate workers and their machines; blocks until the commit, and not until they have ended.

    Raises HttpError 400: neither or both of names and `all`; 404: unknown ones; 409: the boss did not start it; 503: no
    boss runs; else as `done`.
    """
    request = call.request_body(TerminateRequest)
    _require_boss(call)
    if request.all == bool(request.workers or request.pools):
        raise bad_input("name workers and pools, or give all; not both")
    view = call.backend.view()
    _refuse_unknown("pool", request.pools, [each.name for each in view.pools])
    started = [each.worker for each in view.instances]
    started_elsewhere = {worker.id for worker in view.workers} - set(started)
    for worker in request.workers:
        if worker in started_elsewhere:
            raise HttpError(
                409, f"the boss did not start worker {worker!r}, so it cannot stop it: drain it, or drop it"
            )
    _refuse_unknown("worker", request.workers, started)
    change = done(call, TerminateAsked(workers=request.workers, pools=request.pools, now=request.now))
    return msgspec.convert(change.done, TerminatedAnswer)


def drop(call: Call) -> DroppedAnswer:
    """Forget workers; their machines keep running. Blocks until the commit.

    Raises HttpError 400: both names and `all`; 404: unknown ones; 503: no boss runs; else as `done`.
    """
    request = call.request_body(DropRequest)
    _require_boss(call)
    if request.all and request.workers:
        raise bad_input("name workers, or give all; not both")
    _refuse_unknown("worker", request.workers, [worker.id for worker in call.backend.view().workers])
    change = done(call, DropWorkersAsked(workers=request.workers, all=request.all))
    return msgspec.convert(change.done, DroppedAnswer)


def _require_boss(call: Call) -> None:
    if call.backend.carry_on():
        raise HttpError(503, "only a running boss does this, and none runs here: start one (python -m boss)")


def _refuse_unknown(what: str, named: Sequence[str], known: Iterable[str]) -> None:
    names = sorted(known)
    unknown = [name for name in named if name not in names]
    if not unknown:
        return
    listed = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
    some = ", ".join(map(repr, unknown))
    near = did_you_mean(unknown[0], names) if len(unknown) == 1 else ""
    raise not_found(f"there is no {what} {some}{near} (there are: {listed or 'none'})")
