"""What a running boss does for people about machines: logins for programs on other hosts, and looking at a worker.

Puts together what the boss has (its broker, the kept logins, the keys); decides nothing about tasks.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from boss.api.errors import HttpError, bad_input, not_found
from boss.api.schema import DebugLine, LoginAnswer
from boss.bootstrap.login_files import Surroundings, datastore_files, worker_files
from boss.bootstrap.ssh_keys import DATASTORE as DATASTORE_KEY
from boss.bootstrap.ssh_keys import ensure_keys, key_path
from boss.embedded.broker import BrokerError, EmbeddedBroker
from boss.embedded.logins import Login, Role, rights
from boss.embedded.passwords import DATASTORE, DATASTORE_LOGIN, RESERVED, LoginFiles
from boss.embedded.ports import beyond, everywhere
from boss.setup import Setup
from wire.messages import Place
from wire.topics import WORKER_ID, Topics


@dataclass(frozen=True)
class Whereabouts:
    """What is known once the boss has started."""

    deployment: str
    broker_port: int
    #: 0: not served yet.
    http_port: Callable[[], int]


class Machines:
    """`boss.api.handlers.logins.Machines` of a running boss. All calls are safe from any thread."""

    def __init__(
        self,
        setup: Setup,
        where: Whereabouts,
        logins: LoginFiles,
        broker: EmbeddedBroker | None,
        files_token: Callable[[], str],
        place_of: Callable[[str], Place | None],
        bundles: Callable[[], dict[str, str]] = dict,
    ) -> None:
        """`bundles`: Python and machine -> digest of what workers on machines of their own are to run from."""
        self._setup = setup
        self._where = where
        self._logins = logins
        self._broker = broker
        self._files_token = files_token
        self._place_of = place_of
        self._bundles = bundles

    def url(self) -> str:
        """Where other machines reach the boss."""
        return self._surroundings().boss_url

    def files(self, name: str, folder: str) -> dict[str, str]:
        """What a worker, or `datastore`, needs for its login, made if there is none; the broker is not told."""
        role: Role = "datastore" if name == DATASTORE else "worker"
        username = DATASTORE_LOGIN if name == DATASTORE else name
        return self._files(Login(username, self._logins.password(username), role), folder)

    # --- logins ----------------------------------------------------------------------------------------

    def login(self, name: str, folder: str) -> LoginAnswer:
        """The login of a worker or of the datastore, made if there is none, known to the broker when this returns."""
        username = DATASTORE_LOGIN if name == DATASTORE else name
        made = not self._logins.has(username)
        if name != DATASTORE:
            self._refuse_name(name)
        login = Login(username, self._logins.password(username), "datastore" if name == DATASTORE else "worker")
        if made and self._broker is not None:
            self._tell_broker(lambda broker: broker.add_login(login))
        return LoginAnswer(
            name=name,
            username=username,
            made=made,
            files=self._files(login, folder),
            notes=self._notes(login),
        )

    def remove_login(self, name: str) -> None:
        """It is refused by the broker from now on; a program that uses it loses its connection."""
        if name == DATASTORE:
            raise bad_input("the datastore's login cannot be removed while there is a datastore")
        self._refuse_name(name)
        if not self._logins.remove(name):
            raise not_found(f"there is no login {name!r}")
        if self._broker is not None:
            self._tell_broker(lambda broker: broker.remove_login(name))

    def _refuse_name(self, name: str) -> None:
        if not WORKER_ID.match(name):
            raise bad_input(
                f"{name!r} cannot be a worker's id: letters, digits, '.', '_' and '-', at most 63, beginning with a "
                "letter or digit"
            )
        if name in RESERVED or name == self._setup.broker_username:
            raise bad_input(f"{name!r} is the boss's own login; give the worker another id")
        if name in self._setup.own_workers():
            raise HttpError(409, f"{name!r} is a worker that the boss starts itself; it has its login already")

    def _tell_broker(self, change: Callable[[EmbeddedBroker], None]) -> None:
        assert self._broker is not None
        try:
            change(self._broker)
        except BrokerError as error:
            raise HttpError(503, f"{error}; ask again when the broker is well") from None

    def _files(self, login: Login, folder: str) -> dict[str, str]:
        around = self._surroundings()
        folder = folder.rstrip("/") or "/"
        if login.role == "worker":
            return worker_files(login.username, login.password, around, folder)
        key = key_path(self._setup.state_directory, DATASTORE_KEY).read_text(encoding="ascii")
        return datastore_files(login.username, login.password, self._files_token(), key, around, folder)

    def _surroundings(self) -> Surroundings:
        here = self._setup
        return Surroundings(
            broker_host=here.broker_host or self._address(here.broker_listen),
            broker_port=self._where.broker_port,
            mqtt_prefix=here.mqtt_prefix,
            deployment=self._where.deployment,
            boss_url=f"http://{self._address(here.http_host)}:{self._where.http_port()}",
            authority=self._authority(),
        )

    def _authority(self) -> str:
        tls = self._setup.broker_tls
        if tls is None or tls.ca_file is None:
            return ""
        try:
            return tls.ca_file.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise HttpError(503, f"broker_tls_ca {tls.ca_file} cannot be read: {error}") from None

    def _address(self, listens_on: str) -> str:
        """How another machine reaches what listens there; what listens on loopback only is reached from here only."""
        if not beyond(listens_on):
            return listens_on
        if self._setup.boss_address:
            return self._setup.boss_address
        return socket.gethostname() if everywhere(listens_on) else listens_on

    def _notes(self, login: Login) -> list[str]:
        """What is still to be done by a person."""
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

    # --- looking at a worker -----------------------------------------------------------------------------

    def debug(self, worker: str) -> Iterator[DebugLine]:
        from boss.bootstrap.debug_worker import debug_lines  # and paramiko, which no start of a boss is to wait for

        place = self._place_of(worker)
        if place is None:
            raise not_found(f"there is no worker {worker!r}")
        boss, datastore = ensure_keys(self._setup.state_directory)
        bundles = " ".join(f"{kind}={digest}" for kind, digest in sorted(self._bundles().items()))
        return debug_lines(worker, place, boss.path, datastore.public, bundles)
