"""Where boss and broker can be reached from other machines, and why they cannot.

Made once, when both listen. Values, and one file that is read: the certificates that the broker's own is checked with.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from boss.api.errors import HttpError
from boss.embedded.ports import beyond, everywhere
from boss.setup import Setup


@dataclass(frozen=True)
class Addresses:
    """As other machines see them."""

    deployment: str
    mqtt_prefix: str
    broker_host: str
    broker_port: int
    #: Of the HTTP API, without a path.
    boss_url: str
    #: Certificates (PEM) that the broker's own is checked against; None: the connection has no TLS, or the usual ones.
    broker_ca: Path | None = None
    #: Why no other machine can be a worker of this boss, a sentence; empty: it can.
    unreachable: str = ""

    def broker_certificates(self) -> str:
        """PEM; empty: there are none of its own. Raises HttpError."""
        if self.broker_ca is None:
            return ""
        try:
            return self.broker_ca.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise HttpError(503, f"broker_tls_ca {self.broker_ca} cannot be read: {error}") from None


def addresses_of(setup: Setup, deployment: str, broker_port: int, http_port: int) -> Addresses:
    """`broker_port`, `http_port`: where they listen, whatever the settings leave open."""
    return Addresses(
        deployment=deployment,
        mqtt_prefix=setup.mqtt_prefix,
        broker_host=setup.broker_host or _address(setup.broker_listen, setup.boss_address),
        broker_port=broker_port,
        boss_url=f"http://{_address(setup.http_host, setup.boss_address)}:{http_port}",
        broker_ca=setup.broker_tls.ca_file if setup.broker_tls is not None else None,
        unreachable=unreachable(setup),
    )


def _address(listens_on: str, boss_address: str) -> str:
    """How another machine reaches what listens there; what listens on loopback only is reached from here only."""
    if not beyond(listens_on):
        return listens_on
    if boss_address:
        return boss_address
    return socket.gethostname() if everywhere(listens_on) else listens_on


def fault_of_pools(setup: Setup) -> str:
    """Why the machines of a pool of these settings could never become workers; empty: they can, or there are none.

    A host that is there already may be reached on loopback too; a login at the broker each of them requires. Of a
    provider that another package brings it is not known what its machines require.
    """
    for pool in setup.pools:
        if pool.max and (pool.provider == "opennebula" or (pool.provider == "static" and setup.broker_host)):
            why = unreachable(setup)
            if why:
                return f"pool {pool.name} cannot have a worker: {why}, or take [pools.{pool.name}] out of the settings"
    return ""


def unreachable(setup: Setup) -> str:
    """Why no machine that the boss starts can become a worker; empty: it can, as far as the settings say."""
    if setup.broker_host:
        return (
            f"the broker at {setup.broker_host} is not the boss's own, so no worker's login can be made there: "
            "for workers that come and go let the boss have its own (broker_listen instead of broker_host)"
        )
    if not beyond(setup.broker_listen):
        return "the broker listens on this machine only, so no other machine can be a worker: set broker_listen"
    if not beyond(setup.http_host):
        return "the boss answers HTTP on this machine only, so no other machine can fetch its program: set http_host"
    return ""
