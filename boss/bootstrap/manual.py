"""What operators ask of a running boss: a login for a program that it did not start, and a look at a worker's host."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from boss.api.errors import HttpError, bad_input, not_found
from boss.api.schema import DebugLine, LoginAnswer, LoginRequest
from boss.bootstrap.grants import Grants
from boss.bootstrap.login_files import LoginFiles
from boss.configuration.pools import NAME as POOL_NAME
from boss.core.events import LoginGranted
from boss.core.policy import LOCAL, Grant
from boss.embedded.broker_logins import BrokerError, BrokerLogins
from boss.embedded.logins import MqttLogin, Role, rights
from boss.embedded.passwords import DATASTORE, DATASTORE_LOGIN, RESERVED
from boss.embedded.ports import beyond
from boss.setup import Setup
from wire.messages import MAX_LABEL, MAX_LABELS, MAX_SLOTS, Place
from wire.topics import WORKER_ID, Topics


class ManualLogins:
    """`boss.api.services.LoginService` of a running boss. All calls are safe from any thread; they raise HttpError."""

    def __init__(
        self,
        setup: Setup,
        logins: BrokerLogins,
        login_files: LoginFiles,
        grants: Grants,
        notify: Callable[[LoginGranted], None],
    ) -> None:
        """`notify`: takes events, and may not block."""
        self._setup = setup
        self._logins = logins
        self._login_files = login_files
        self._grants = grants
        self._notify = notify

    def login(self, name: str, request: LoginRequest) -> LoginAnswer:
        """Of a worker or of `datastore`, made if there is none; the broker knows it when this returns, for which it
        blocks.

        Raises HttpError 400: the name, or what is to be granted, cannot be; 409: the boss starts that worker itself;
        503: the broker does not take it; what `LoginFiles.of` raises; OSError.
        """
        username, role = self._login_of(name)
        grant = self._granted(name, request)
        try:
            made = self._logins.ensure(username, role)
        except BrokerError as error:
            raise _busy(error) from None
        return LoginAnswer(
            name=name,
            username=username,
            made=made,
            files=self._login_files.of(name, request.folder, grant),
            notes=self._notes(self._logins.login(username, role)),
        )

    def remove_login(self, name: str) -> None:
        """The broker refuses it when this returns, for which it blocks; a program that uses it loses its connection.

        Raises HttpError 400: no worker can have that name, or it is the datastore's; 404: there is none; 409: the boss
        starts that worker itself; 503: the broker does not take it; OSError.
        """
        if name == DATASTORE:
            raise bad_input("the datastore's login cannot be removed while there is a datastore")
        username, _ = self._login_of(name)
        try:
            removed = self._logins.remove(username)
        except BrokerError as error:
            raise _busy(error) from None
        if self._grants.set(name, None):
            self._notify(LoginGranted(worker=name, grant=None))
        if not removed:
            raise not_found(f"there is no login {name!r}")

    def _granted(self, name: str, request: LoginRequest) -> Grant:
        """What its worker may say it is: as before, but for what is requested. On disk before the login is."""
        before = self._grants.of(name)
        grant = Grant(
            pool=before.pool if request.pool is None else request.pool,
            labels=before.labels if request.labels is None else request.labels,
            slots=before.slots if request.slots is None else request.slots,
        )
        if grant == before:
            return grant
        if name == DATASTORE:
            raise bad_input("pool, labels and slots are of workers, and the datastore is none")
        _check_grant(grant)
        self._grants.set(name, grant)
        self._notify(LoginGranted(worker=name, grant=grant))
        return grant

    def _login_of(self, name: str) -> tuple[str, Role]:
        """Its username and role. Raises HttpError where no worker can have that name."""
        if name == DATASTORE:
            return DATASTORE_LOGIN, "datastore"
        if not WORKER_ID.match(name):
            raise bad_input(
                f"{name!r} cannot be a worker's id: letters, digits, '.', '_' and '-', at most 63, beginning with a "
                "letter or digit"
            )
        if name in RESERVED or name == self._setup.broker_username:
            raise bad_input(f"{name!r} is the boss's own login; give the worker another id")
        if name in self._setup.own_workers():
            raise HttpError(409, f"{name!r} is a worker that the boss starts itself; it has its login already")
        return name, "worker"

    def _notes(self, login: MqttLogin) -> list[str]:
        """What is still to be done by an operator."""
        here = self._setup
        notes = []
        if here.broker_host:
            allowed = "; ".join(f"topic {action} {topic}" for action, topic in rights(login, Topics(here.mqtt_prefix)))
            notes.append(
                f"the broker at {here.broker_host} is not the boss's own: make the login {login.username!r} there "
                f"with this password, and these rights: {allowed}"
            )
            if here.broker_tls is not None and here.broker_tls.certificate_file is not None:
                notes.append(
                    "the boss shows the broker a certificate: where it asks everybody for one, set "
                    "ECLOUD_BROKER_TLS_CERT and ECLOUD_BROKER_TLS_KEY, too"
                )
        elif not beyond(here.broker_listen):
            notes.append(
                "the broker listens on this machine only: for a program on another host set broker_listen and start "
                "the boss again"
            )
        if login.role == "datastore" and not here.datastore_host:
            notes.append("the boss starts a datastore beside itself: set datastore_host and start the boss again")
        if login.role == "datastore" and not beyond(here.http_host):
            notes.append(
                "the boss answers HTTP on this machine only: a datastore on another host fetches sent files from it, "
                "so set http_host and start the boss again"
            )
        return notes


class WorkerDebugger:
    """`boss.api.services.DebugService` of a running boss. Safe from any thread."""

    def __init__(
        self,
        place_of: Callable[[str], Place | None],
        boss_key: Path,
        datastore_key: str,
        bundles: Callable[[], Mapping[str, str]],
    ) -> None:
        """`place_of`: where a worker is, None: there is none; `boss_key`: file of the private key to log in with;
        `datastore_key`: the public one that should be accepted; `bundles`: Python and machine -> digest of what workers
        on machines of their own are to run from.
        """
        self._place_of = place_of
        self._boss_key = boss_key
        self._datastore_key = datastore_key
        self._bundles = bundles

    def debug(self, worker: str) -> Iterator[DebugLine]:
        """What is found out, line by line as it comes, for which the iteration blocks (see `debug_worker.SECONDS`).
        Raises HttpError 404: there is no such worker, before the first line; BackendUnavailableError.
        """
        from boss.bootstrap.debug_worker import debug_lines  # and paramiko, which no start of a boss is to wait for

        place = self._place_of(worker)
        if place is None:
            raise not_found(f"there is no worker {worker!r}")
        bundles = " ".join(f"{kind}={digest}" for kind, digest in sorted(self._bundles().items()))
        return debug_lines(worker, place, self._boss_key, self._datastore_key, bundles)


def _check_grant(grant: Grant) -> None:
    if grant.pool and (not POOL_NAME.match(grant.pool) or grant.pool == LOCAL):
        raise bad_input(
            f"pool {grant.pool[:40]!r} must be letters, digits, '_' and '-', at most 31, beginning with a letter or "
            f"digit, and not {LOCAL!r}, the pool of the boss's own processes"
        )
    if len(grant.labels) > MAX_LABELS:
        raise bad_input(f"{len(grant.labels)} labels are too many for one worker: at most {MAX_LABELS}")
    for name, value in grant.labels.items():
        if not 0 < len(name) <= MAX_LABEL or len(value) > MAX_LABEL or not f"{name}{value}".isprintable():
            raise bad_input(f"label {name[:40]!r} must be a printable name and value of at most {MAX_LABEL} characters")
    if not 0 <= grant.slots <= MAX_SLOTS:
        raise bad_input(f"slots {grant.slots} must be from 0 to {MAX_SLOTS}")


def _busy(error: BrokerError) -> HttpError:
    return HttpError(503, f"{error}; ask again when the broker is well")
