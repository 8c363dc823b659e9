"""A client of the HTTP application inside this process, over a state directory on which no boss runs. No sockets."""

from __future__ import annotations

import secrets
from pathlib import Path

from boss.api.app import make_app
from boss.api.offline import OfflineBackend
from boss.api.services import ContextService
from boss.api.tree import LocalTree
from boss.client.client import Client
from boss.client.in_process_transport import InProcessTransport


def inside_client(
    backend: OfflineBackend,
    database_errors: tuple[type[Exception], ...],
    tree: Path | None = None,
    context: ContextService | None = None,
) -> Client:
    """The same routes and answers as a boss's. `tree`: the datastore's, where that is on this disk."""
    token = secrets.token_urlsafe(32)
    app = make_app(
        backend,
        [token],
        database_errors=database_errors,
        tree=None if tree is None else LocalTree(tree),
        context=context,
    )
    return Client("http://localhost", token, InProcessTransport(app))
