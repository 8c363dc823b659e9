"""What all handlers share: the backend, the spool, and what only some bosses have, each behind a Protocol here.

The program makes one Services and hands it to the application. What is None is not there (no boss runs, or the part is
elsewhere), and the handler says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from boss.api.backend import Backend
from boss.api.errors import HttpError
from boss.api.from_datastore import ResultFetcher
from boss.api.local_tree import LocalTree
from boss.api.schema import DebugLine, InstanceLoginAnswer, LoginAnswer, LoginRequest
from boss.api.spool import Spool
from boss.state_directory.context import Context

T = TypeVar("T")

#: Key of an ASGI scope: an event that is set when the server is about to end.
CLOSING = "ecloud.closing"


class BootstrapService(Protocol):
    """Bundles and logins for machines of workers. A running boss's own; safe from any thread; raises HttpError."""

    def admits(self, worker: str, token: str) -> bool:
        """In the same time whether it is valid, wrong, or another worker's."""
        ...

    def bundle(self, worker: str, token: str, kind: str, digest: str) -> tuple[Path, str]:
        """File and digest. `kind`: Python and machine; `digest`: empty is the newest.

        Raises HttpError 401: no valid token; 403: its time is over; 404: there is no such bundle.
        """
        ...

    def exchange(self, worker: str, token: str, folder: str, address: str) -> InstanceLoginAnswer:
        """Once. `address`: of the client, for messages.

        Raises HttpError 401: no valid token; 403: its time is over, or it is for the bundle only; 409: it was used
        already; 503: the certificates of the broker cannot be read.
        """
        ...


class LoginService(Protocol):
    """Logins of programs on other hosts. A running boss's own; safe from any thread; raises HttpError."""

    def login(self, name: str, request: LoginRequest) -> LoginAnswer:
        """The login of this name, created if there is none; the broker knows it when this returns.

        Raises HttpError 400: a wrong name or value; 409: a worker that the boss starts; 503: the broker does not
        answer.
        """
        ...

    def remove_login(self, name: str) -> None:
        """The broker refuses it when this returns.

        Raises HttpError 400: no worker's name; 404: there is none; 409, 503: as `login`.
        """
        ...


class DebugService(Protocol):
    """Checks of a worker's host. A running boss's own; safe from any thread; raises HttpError."""

    def debug(self, worker: str) -> Iterator[DebugLine]:
        """Line by line as it comes. Raises before the first one HttpError 404: the worker is not known;
        BackendUnavailableError.
        """
        ...


@dataclass
class BundlesInTransit:
    """How many bundles are being sent at present; touched in the server's one thread only."""

    count: int = 0


@dataclass(frozen=True)
class Services:
    """What all handlers share."""

    backend: Backend
    spool: Spool
    #: Bytes of the largest graph that a push may send.
    submit_limit_bytes: int
    #: Bytes of the longest description of one task in it.
    task_limit_bytes: int
    #: Bytes that the database's disk still takes, where that is known.
    database_free_bytes: Callable[[], int | None] = lambda: None
    logins: LoginService | None = None
    debugger: DebugService | None = None
    bootstrap: BootstrapService | None = None
    context: Context | None = None
    #: The datastore's tree, where it is on this disk; else how contents are fetched from there.
    tree: LocalTree | None = None
    fetching: ResultFetcher | None = None
    bundles: BundlesInTransit = field(default_factory=BundlesInTransit)


def of_running_boss(service: T | None) -> T:
    """The service, which only a running boss has. Raises HttpError 503: there is none."""
    if service is None:
        raise HttpError(503, "only a running boss does this, and none runs here: start one (python -m boss)")
    return service
