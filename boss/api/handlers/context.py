"""Handlers for the context: where boss and datastore are. What is set is kept by `boss.state_directory.context`."""

from __future__ import annotations

import socket

from boss.api.errors import HttpError, bad_input
from boss.api.routes import Call
from boss.api.schema import ContextAnswer, DatastoreRequest
from boss.state_directory.context import Context


def show(call: Call) -> ContextAnswer:
    """Where boss and datastore are, and remarks. Raises HttpError 503: nothing keeps that here."""
    context = _context(call)
    boss = context.boss_address() or socket.gethostname()
    known = context.datastore_address() or _machine(call)
    pools = _pools(call) if not known else set()
    return ContextAnswer(
        boss_address=boss,
        datastore_address=known or ("" if pools else boss),
        said=context.is_said(),
        notes=[f"the datastore's machine does not exist yet: pool {name} makes it" for name in sorted(pools)],
    )


def set_datastore(call: Call) -> ContextAnswer:
    """Keep where the datastore's program runs, on disk; the boss uses it from its next start on.

    Raises HttpError 400: no host name or address; 409: a pool makes its machine; 503: as `show`; OSError: the disk.
    """
    context = _context(call)
    if pools := _pools(call):
        raise HttpError(
            409, f"pool {min(pools)!r} makes the datastore's machine: remove that pool from the settings first"
        )
    before = show(call).datastore_address
    address = call.request_body(DatastoreRequest).address
    try:
        context.set_datastore(address)
    except ValueError as error:
        raise bad_input(str(error)) from None
    answer = show(call)
    if address != before:
        answer.notes.append(
            "the boss uses a datastore there from its next start on: start its program on that host "
            "(admin.py login datastore)"
        )
    return answer


def drop(call: Call) -> ContextAnswer:
    """Forget what `set_datastore` has kept. Raises HttpError 503: as `show`; OSError: the disk."""
    _context(call).drop()
    return show(call)


def _machine(call: Call) -> str:
    """The address of the datastore's machine, where a pool has one."""
    pools = _pools(call)
    return next(
        (one.address for one in call.services.backend.view().instances if one.pool in pools and one.address), ""
    )


def _pools(call: Call) -> set[str]:
    pools = call.services.backend.view().pools
    return {pool.name for pool in pools if pool.role == "datastore" and pool.in_settings}


def _context(call: Call) -> Context:
    if call.services.context is None:
        raise HttpError(503, "there is no context here")
    return call.services.context
