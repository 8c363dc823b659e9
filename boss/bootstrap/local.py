"""What the boss gives to the programs that it starts beside itself, datastore and workers: environment and login."""

from __future__ import annotations

import os
from collections.abc import Mapping

from boss.bootstrap.addresses import Addresses
from boss.bootstrap.ssh_keys import DATASTORE as DATASTORE_KEY
from boss.bootstrap.ssh_keys import key_path
from boss.common.private_files import private_folder, write_private
from boss.embedded.broker_logins import BrokerLogins
from boss.embedded.environments import at_broker, of_a_child
from boss.embedded.passwords import DATASTORE_LOGIN, Passwords
from boss.embedded.ports import HOST
from boss.setup import Setup


class LocalPrograms:
    """All calls are safe from any thread. They raise OSError, and EmbeddedError of the broker."""

    def __init__(self, setup: Setup, addresses: Addresses, passwords: Passwords, logins: BrokerLogins) -> None:
        """Raises OSError."""
        self._setup = setup
        self._passwords = passwords
        self._logins = logins
        #: They are on this machine, where the boss's own broker always listens on loopback.
        self._broker = at_broker(
            setup.broker_host or HOST, addresses.broker_port, addresses.mqtt_prefix, addresses.deployment
        )
        #: The boss's own password at another broker, for the programs that log in as the boss there.
        self._boss_password = private_folder(setup.state_directory / "logins") / "broker"
        if not logins.is_own_broker:
            write_private(self._boss_password, f"{setup.broker_password}\n")

    def worker(self, worker: str) -> Mapping[str, str]:
        """Environment of a worker's process. Its login is made where the broker does not have it yet, which blocks."""
        if self._logins.is_own_broker:
            self._logins.ensure(worker, "worker")
        home = private_folder(self._setup.state_directory / "workers" / worker)
        return self._environment(
            {
                "ECLOUD_WORKER_ID": worker,
                "ECLOUD_WORKER_HOME": os.fspath(home),
                "ECLOUD_WORKER_USERNAME": self._username(worker),
                "ECLOUD_WORKER_PASSWORD_FILE": self._password_file(worker),
                "ECLOUD_POOL": worker.rpartition("-")[0],
                "ECLOUD_SLOTS": str(self._setup.slots),
                "ECLOUD_ORPHAN_AFTER": str(self._setup.policy.orphan_after),
            }
        )

    def datastore(self) -> Mapping[str, str]:
        """Environment of the datastore's process."""
        return self._environment(
            {
                "ECLOUD_DATASTORE_SSH_KEY": os.fspath(key_path(self._setup.state_directory, DATASTORE_KEY)),
                "ECLOUD_DATASTORE_TREE": os.fspath(self._setup.tree),
                "ECLOUD_DATASTORE_USERNAME": self._username(DATASTORE_LOGIN),
                "ECLOUD_DATASTORE_PASSWORD_FILE": self._password_file(DATASTORE_LOGIN),
            }
        )

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        setup = self._setup
        return {**of_a_child({**setup.child_environment, **self._broker}, setup.broker_tls), **variables}

    def _username(self, program: str) -> str:
        """The boss's own broker knows each program; at another one those of this machine log in as the boss."""
        return program if self._logins.is_own_broker else self._setup.broker_username

    def _password_file(self, program: str) -> str:
        """Where the program reads its password; empty: it logs in without one."""
        if self._logins.is_own_broker:
            return os.fspath(self._passwords.ensure(program))
        return os.fspath(self._boss_password) if self._setup.broker_password else ""
