"""Fixtures for tests with real parts. The servers themselves stand in modules of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worlds.database import database
from tests.worlds.mariadb import MariaDb, mariadb_server

__all__ = ["database", "database_url", "mariadb_server"]


@pytest.fixture(params=["sqlite", "mariadb"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database: each test that asks for it runs on both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ecloud.sqlite'}"
    server: MariaDb = request.getfixturevalue("mariadb_server")
    return server.fresh_url()
