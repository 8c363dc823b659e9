"""What machines of workers need of the boss's other parts: logins at its own broker, the files of a login, its address.

Puts together the broker, the kept logins and the login kit; knows no token and no bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from boss.bootstrap.bootstrap import Guests
from boss.bootstrap.manual import Machines
from boss.bootstrap.ssh_keys import ensure_keys
from boss.core.events import BundlesKnown, GuestRefused
from boss.embedded.broker import BrokerError, EmbeddedBroker
from boss.embedded.logins import Login
from boss.embedded.passwords import LoginFiles
from boss.embedded.ports import beyond
from boss.setup import Setup


class GuestDesk:
    """`boss.bootstrap.bootstrap.Desk` of a running boss."""

    def __init__(
        self,
        setup: Setup,
        logins: LoginFiles,
        machines: Callable[[], Machines],
        broker: Callable[[], EmbeddedBroker | None],
        clear_presence: Callable[[str], None],
    ) -> None:
        self._setup = setup
        self._logins = logins
        self._machines = machines
        self._broker = broker
        self.clear_presence = clear_presence

    def url(self) -> str:
        return self._machines().url()

    def unreachable(self) -> str:
        here = self._setup
        if here.broker_host:
            return self._foreign()
        if not beyond(here.broker_listen):
            return "the broker listens on this machine only, so no other machine can be a worker: set broker_listen"
        if not beyond(here.http_host):
            return (
                "the boss answers HTTP on this machine only, so no other machine can fetch its program: set http_host"
            )
        return ""

    def make_login(self, worker: str) -> None:
        broker = self._own_broker()
        try:
            if self._logins.remove(worker):
                broker.remove_login(worker)
            broker.add_login(Login(worker, self._logins.password(worker), "worker"))
        except BrokerError as error:
            raise OSError(f"worker {worker} has no login: {error}") from None

    def end_login(self, worker: str) -> None:
        self._logins.remove(worker)
        try:
            self._own_broker().remove_login(worker)
        except BrokerError as error:
            raise OSError(str(error)) from None

    def files(self, name: str, folder: str) -> dict[str, str]:
        return self._machines().files(name, folder)

    def _own_broker(self) -> EmbeddedBroker:
        broker = self._broker()
        if broker is None:
            raise OSError(self._foreign())
        return broker

    def _foreign(self) -> str:
        return (
            f"the broker at {self._setup.broker_host} is not the boss's own, so no worker's login can be made there: "
            "for workers that come and go let the boss have its own (broker_listen instead of broker_host)"
        )


def make_guests(
    setup: Setup,
    deployment: str,
    desk: GuestDesk,
    told: Callable[[BundlesKnown | GuestRefused], None],
) -> Guests:
    settings: Mapping[str, str] = setup.child_environment
    return Guests(setup.state_directory, deployment, setup.pools, desk, lambda: _authorized(setup), told, settings)


def _authorized(setup: Setup) -> list[str]:
    return [key.authorized_keys_line for key in ensure_keys(setup.state_directory)]
