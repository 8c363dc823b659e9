"""The application: routes over a backend, behind the guard; every error becomes one JSON answer.

Knows HTTP and the table of routes; what each does stands in the handlers' modules.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Callable, Iterable

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp

from boss.api import openapi
from boss.api.backend import DATABASE_ERRORS, Backend, BackendUnavailableError
from boss.api.errors import HttpError
from boss.api.from_datastore import ResultFetcher
from boss.api.guard import Guard
from boss.api.local_tree import LocalTree
from boss.api.responses import error_response, json_response
from boss.api.routes import Call, Route, read_body, read_query
from boss.api.services import BootstrapService, DebugService, LoginService, Services
from boss.api.spool import Spool
from boss.api.table import ROUTES
from boss.database.errors import DatabaseUnavailableError
from boss.state_directory.context import Context
from wire.http import PREFIX

_log = logging.getLogger(__name__)

#: Default bound of the spool.
SPOOL_LIMIT_BYTES = 100 * 1024**3
#: Largest graph that a push may send, and longest description of one task in it.
SUBMIT_LIMIT_BYTES, TASK_LIMIT_BYTES = 4 * 1024**3, 1024**2


def make_app(
    backend: Backend,
    tokens: Iterable[str],
    allowed_hosts: Iterable[str] = (),
    *,
    spool_limit_bytes: int = SPOOL_LIMIT_BYTES,
    submit_limit_bytes: int = SUBMIT_LIMIT_BYTES,
    task_limit_bytes: int = TASK_LIMIT_BYTES,
    spool: Spool | None = None,
    database_free_bytes: Callable[[], int | None] = lambda: None,
    logins: LoginService | None = None,
    debugger: DebugService | None = None,
    bootstrap: BootstrapService | None = None,
    context: Context | None = None,
    files_tokens: Iterable[str] = (),
    tree: LocalTree | None = None,
    fetching: ResultFetcher | None = None,
) -> ASGIApp:
    """The HTTP API over this backend. Callers need one of the tokens and a Host that is allowed.

    `spool`: the one that the program sweeps; else one is made. `bootstrap` knows the tokens of its two routes;
    `files_tokens` are good for the datastore's files only. `tree` is the datastore's, where that is on this disk; else
    `fetching` gets contents from it. Limits are in bytes. Raises ValueError: no token; OSError: the spool cannot be
    made.
    """
    services = Services(
        backend,
        spool or Spool(backend.spool, spool_limit_bytes),
        submit_limit_bytes,
        task_limit_bytes,
        database_free_bytes,
        logins,
        debugger,
        bootstrap,
        context,
        tree,
        fetching,
    )
    routes = [
        StarletteRoute(PREFIX + route.path, _endpoint(route, services), methods=[route.method]) for route in ROUTES
    ]
    routes.append(StarletteRoute("/openapi.json", _openapi, methods=["GET"]))
    application = Starlette(routes=routes, exception_handlers={HTTPException: _http_error, Exception: _unexpected})
    return Guard(application, tokens, allowed_hosts, files_tokens, bootstrap.admits if bootstrap is not None else None)


def _endpoint(route: Route, services: Services) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return await _answer(route, services, request)
        except HttpError as error:
            return error_response(error.status, error.error, error.details)
        except DatabaseUnavailableError as error:
            return error_response(503, f"the database is away: {error}; the boss retries every second")
        except (BackendUnavailableError, *DATABASE_ERRORS) as error:
            return error_response(503, str(error))
        except ClientDisconnect:
            return error_response(400, "the connection ended before the body did")
        except OSError as error:
            return _disk_error(error)

    return endpoint


async def _answer(route: Route, services: Services, request: Request) -> Response:
    query = read_query(route, request)
    body = await read_body(route, request)
    call = Call(services, request, dict(request.path_params), query, body)
    if route.streaming is not None:
        return await route.streaming(call)
    assert route.handler is not None
    return json_response(await run_in_threadpool(route.handler, call))


def _disk_error(error: OSError) -> Response:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return error_response(
            507,
            f"the disk of the boss is full ({error.filename or 'state directory'}); free some space, then try again",
        )
    _log.error("a request failed: %s", error, extra={"action": "request_failed"})
    return error_response(503, f"the boss could not do this: {error}")


async def _openapi(request: Request) -> Response:
    return json_response(openapi.document(ROUTES))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    sentences = {
        404: f"there is no route {path}; /openapi.json lists all",
        405: f"{path} does not take {request.method}; /openapi.json lists what it takes",
    }
    return error_response(error.status_code, sentences.get(error.status_code, str(error.detail)))


async def _unexpected(request: Request, error: Exception) -> Response:
    # Starlette raises it again after this answer, so that the server logs where it came from.
    return error_response(
        500, "internal error of the boss; its log (logs/boss.log in the state directory) has the traceback"
    )
