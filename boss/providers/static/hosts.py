"""The hosts of a static pool, as its settings say them, and the keys that each must show.

Every host has its key's fingerprint in the settings, or its key in the pool's known_hosts file: an unknown key is never
accepted, and there is no login by password. Faults are sentences that name the pool and the host.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import paramiko
from paramiko.hostkeys import HostKeyEntry

from boss.providers.provider import ProviderError
from boss.setup import PoolSetup
from wire.messages import Place

_HOST = re.compile(
    r"(?:(?P<user>[^@\s]+)@)?(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<name>[^\s:@\[\]]+))(?::(?P<port>[0-9]+))?"
)
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_FOLDER = "ecloud-worker"


class Host(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of them. Field by field what a table in `hosts` may say."""

    address: str
    user: str = ""
    port: int = 22
    #: SHA256:... as `ssh-keygen -l` prints it.
    fingerprint: str = ""
    #: 0: as the pool says, else as many as the host has cores.
    slots: int = 0
    #: Its Python; empty: the first in its PATH that serves.
    python: str = ""
    #: Where the agent lives, below the user's home unless absolute; empty: as the pool says.
    home: str = ""

    @property
    def at(self) -> str:
        """What it is called in references and sentences."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.port}"


def read_hosts(pool: PoolSetup) -> list[Host]:
    """Raises ProviderError with every fault."""
    where = f"[pools.{pool.name}]"
    given = pool.options.get("hosts") or []
    faults: list[str] = []
    found: dict[str, Host] = {}
    for each in given:
        try:
            host = _usual(_host(each), str(pool.options.get("home") or _FOLDER))
        except ValueError as error:
            faults.append(f"{where}: the host {each!r} {error}")
            continue
        if host.at in found:
            faults.append(f"{where}: the host {host.at} is named twice, and a host never gets two agents")
        elif not host.fingerprint and not pool.options.get("known_hosts"):
            faults.append(
                f"{where}: the host {host.at} has no fingerprint, and the pool no known_hosts file: "
                f"`ssh-keyscan -p {host.port} {host.address} | ssh-keygen -lf -` prints what it shows; compare that "
                "with what its owner says, and write it behind the host"
            )
        found[host.at] = host
    if not given:
        faults.append(f'{where}: a static pool needs hosts, such as hosts = ["ecloud@10.0.0.5:22 SHA256:..."]')
    if faults:
        raise ProviderError("\n".join(faults))
    return list(found.values())


def place_of(host: Host, pool: PoolSetup) -> Place:
    """Where it is, with the keys that it may show. Raises ProviderError: there are none."""
    keys = [host.fingerprint] if host.fingerprint else _known(host, pool)
    return Place(kind="ssh", path=host.home, host=host.address, port=host.port, user=host.user, host_keys=keys)


def _host(given: object) -> Host:
    """ValueError: what is wrong with it, to stand behind its name."""
    if isinstance(given, Mapping):
        try:
            return msgspec.convert(dict(given), Host)
        except msgspec.ValidationError as error:
            raise ValueError(f"cannot be read: {error}") from None
    name, _, fingerprint = str(given).strip().partition(" ")
    match = _HOST.fullmatch(name)
    if match is None:
        raise ValueError('must be written as "user@address:port", with the key\'s fingerprint (SHA256:...) behind it')
    return Host(
        address=match["v6"] or match["name"],
        user=match["user"] or "",
        port=int(match["port"] or 22),
        fingerprint=fingerprint.strip(),
    )


def _usual(host: Host, home: str) -> Host:
    """With what it leaves out. ValueError: what is wrong with it, to stand behind its name."""
    if not host.address or not 0 < host.port < 65536 or host.slots < 0:
        raise ValueError("must have an address, a port from 1 to 65535, and no negative number of slots")
    if host.fingerprint and not _FINGERPRINT.fullmatch(host.fingerprint):
        raise ValueError(
            f"has the fingerprint {host.fingerprint!r}; it must be SHA256: and 43 characters, "
            "as `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints it on the host"
        )
    if host.user == "root":
        raise ValueError("names root; the agent and the tasks run as the user named there, so take an ordinary one")
    user = host.user or pwd.getpwuid(os.geteuid()).pw_name
    return msgspec.structs.replace(host, user=user, home=host.home or home)


def _known(host: Host, pool: PoolSetup) -> list[str]:
    """Lines of keys. The file is read each time: the host may have been added."""
    path = Path(str(pool.options.get("known_hosts")))
    try:
        keys, revoked = _read(path)
    except (OSError, ValueError) as error:
        raise ProviderError(f"[pools.{pool.name}]: known_hosts = {path} cannot be read: {error}") from None
    name = host.address if host.port == 22 else f"[{host.address}]:{host.port}"
    found = keys.lookup(name) or {}
    lines = [f"{kind} {found[kind].get_base64()}" for kind in found.keys()]  # noqa: SIM118  # no dictionary
    lines = [line for line in lines if line.split()[1] not in revoked]
    if not lines:
        raise ProviderError(
            f"{path} has no key of {name}: `ssh-keyscan -p {host.port} {host.address} >> {path}` puts it in; compare "
            "its fingerprint with what the host's owner says"
        )
    return lines


def _read(path: Path) -> tuple[Any, set[str]]:
    """The keys of its plain lines, and keys that it revokes. Raises OSError, ValueError: a line is broken."""
    keys: Any = paramiko.HostKeys()
    revoked = set()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split()
        if words[:1] == ["@revoked"]:
            revoked.update(words[3:4])
            continue
        if line.startswith(("@", "#")):
            continue
        try:
            entry: Any = HostKeyEntry.from_line(line, number)
        except paramiko.SSHException:
            raise ValueError(f"line {number} has no key that can be read") from None
        for name in entry.hostnames if entry is not None else ():
            keys.add(name, entry.key.get_name(), entry.key)
    return keys, revoked
