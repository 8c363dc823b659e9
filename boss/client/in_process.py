"""The one door to a boss that does not run: its HTTP application in this process, over a state directory."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from boss.api.app import make_app
from boss.api.local_tree import LocalTree
from boss.api.offline import OfflineBackend
from boss.client.client import Client, ClientError
from boss.client.in_process_transport import InProcessTransport
from boss.database import Database, DatabaseError, EmptyDatabase, NoDatabaseError
from boss.database.engine import parse_url, place_of
from boss.database.store import DatabaseStore
from boss.setup import make_pools
from boss.state_directory import find
from boss.state_directory.context import Context
from boss.state_directory.known_deployment import check_deployment
from boss.state_directory.lock import CannotStartError


def offline_client(state_directory: Path, values: Any) -> Client:
    """A client that gets the routes and answers of a boss; `values` are the settings.

    It reads the database, and makes each change in a turn of its own; other effects of a change are left to the next
    boss. Blocks on the database. Raises ClientError: the database cannot be read.
    """
    url = values.database or f"sqlite:///{state_directory / 'ecloud.sqlite'}"

    def open_to_read() -> Database | EmptyDatabase:
        database: Database | EmptyDatabase
        try:
            database = Database.open_to_read(url)
        except NoDatabaseError:
            database = EmptyDatabase()
        try:
            check_deployment(state_directory, database.deployment, place_of(parse_url(url)))
        except CannotStartError:
            database.close()
            raise
        return database

    def open_to_write() -> tuple[Database, DatabaseStore]:
        database = Database.open(url)
        return database, DatabaseStore(database, state_directory / "spool")

    try:
        pools = [policy for policy, _ in make_pools(values)]
        backend = OfflineBackend(state_directory, open_to_read(), open_to_write, pools)
    except (CannotStartError, DatabaseError) as error:
        raise ClientError(str(error)) from None
    tree = None if values.datastore_host else values.datastore_tree or find.tree_beside(state_directory)
    token = secrets.token_urlsafe(32)
    app = make_app(
        backend,
        [token],
        tree=None if tree is None else LocalTree(tree),
        context=Context(state_directory, values.boss_address, values.datastore_host),
    )
    return Client("http://localhost", token, InProcessTransport(app, backend.close))
