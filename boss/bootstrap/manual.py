"""What operators ask of a running boss: a login for a program that it did not start, and a look at a worker's host."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from boss.api.errors import HttpError, bad_input, not_found
from boss.api.schema import DebugLine, LoginAnswer
from boss.bootstrap.login_files import LoginFiles
from boss.embedded.broker_logins import BrokerError, BrokerLogins
from boss.embedded.logins import MqttLogin, Role, rights
from boss.embedded.passwords import DATASTORE, DATASTORE_LOGIN, RESERVED
from boss.embedded.ports import beyond
from boss.setup import Setup
from wire.messages import Place
from wire.topics import WORKER_ID, Topics


class ManualLogins:
    """`boss.api.services.LoginService` of a running boss. All calls are safe from any thread; they raise HttpError."""

    def __init__(self, setup: Setup, logins: BrokerLogins, login_files: LoginFiles) -> None:
        self._setup = setup
        self._logins = logins
        self._login_files = login_files

    def login(self, name: str, folder: str) -> LoginAnswer:
        """Of a worker or of `datastore`, made if there is none; the broker knows it when this returns.

        `folder`: where its files will be on the other host.
        """
        username, role = self._login_of(name)
        try:
            made = self._logins.ensure(username, role)
        except BrokerError as error:
            raise _busy(error) from None
        return LoginAnswer(
            name=name,
            username=username,
            made=made,
            files=self._login_files.of(name, folder),
            notes=self._notes(self._logins.login(username, role)),
        )

    def remove_login(self, name: str) -> None:
        """The broker refuses it when this returns, and a program that uses it loses its connection."""
        if name == DATASTORE:
            raise bad_input("the datastore's login cannot be removed while there is a datastore")
        username, _ = self._login_of(name)
        try:
            removed = self._logins.remove(username)
        except BrokerError as error:
            raise _busy(error) from None
        if not removed:
            raise not_found(f"there is no login {name!r}")

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
        """Line by line as it comes. Raises HttpError before the first, BackendUnavailableError."""
        from boss.bootstrap.debug_worker import debug_lines  # and paramiko, which no start of a boss is to wait for

        place = self._place_of(worker)
        if place is None:
            raise not_found(f"there is no worker {worker!r}")
        bundles = " ".join(f"{kind}={digest}" for kind, digest in sorted(self._bundles().items()))
        return debug_lines(worker, place, self._boss_key, self._datastore_key, bundles)


def _busy(error: BrokerError) -> HttpError:
    return HttpError(503, f"{error}; ask again when the broker is well")
