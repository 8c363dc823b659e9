"""The logins at the boss's broker: the password of each, and that the broker knows it.

Where the broker is another one, an operator makes the logins there; passwords are kept here all the same.
"""

from __future__ import annotations

from boss.embedded.broker import BrokerError, EmbeddedBroker
from boss.embedded.logins import MqttLogin, Role
from boss.embedded.passwords import Passwords

__all__ = ["BrokerError", "BrokerLogins"]


class BrokerLogins:
    """All calls are safe from any thread. Those that change a login block until the broker has taken it."""

    def __init__(self, passwords: Passwords, broker: EmbeddedBroker | None) -> None:
        """`broker` None: it is not the boss's own."""
        self._passwords = passwords
        self._broker = broker

    @property
    def is_own_broker(self) -> bool:
        return self._broker is not None

    def login(self, name: str, role: Role) -> MqttLogin:
        """With its password, made if there is none; the broker learns nothing by this."""
        return MqttLogin(name, self._passwords.password(name), role)

    def ensure(self, name: str, role: Role) -> bool:
        """It can log in when this returns. True: it is new. Raises BrokerError, OSError."""
        made = not self._passwords.has(name)
        login = self.login(name, role)
        if made and self._broker is not None:
            self._broker.add_logins([login])
        return made

    def renew(self, name: str, role: Role) -> None:
        """It can log in with a new password only when this returns. Raises BrokerError, OSError."""
        if self._passwords.has(name):
            self.remove(name)
        self.ensure(name, role)

    def remove(self, name: str) -> bool:
        """It is refused when this returns, and whoever uses it is cut off. False: there was none here. Raises
        BrokerError, OSError."""
        removed = self._passwords.remove(name)
        if self._broker is not None:
            self._broker.remove_login(name)
        return removed
