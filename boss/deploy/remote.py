"""A login at the boss's machine, as root, by the deploy's own key, at a host whose key is known beforehand.

The machine was given a host key by its CONTEXT, which it shows at first; over a connection that is authenticated by
that one its own key is read, kept here, and put back there. Nothing is ever sent to a machine that shows another key.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable

from boss.deploy.errors import DeployError
from boss.deploy.made import LOOK_SECONDS, Clock
from boss.deploy.record import Kept
from boss.ssh.connection import Ran, SshConnection, connect
from boss.ssh.errors import SshError
from wire.messages import Place

USER = "root"
#: Bytes of what a command there says.
_MAX_OUTPUT_BYTES = 1024 * 1024


class BossHost:
    """Ends with `close`, or as a context manager."""

    def __init__(self, connection: SshConnection, address: str) -> None:
        self._connection = connection
        self._address = address

    def __enter__(self) -> BossHost:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def run(self, script: str, *arguments: str, given: bytes = b"", seconds: float = 120.0) -> str:
        """What a shell script says there. Raises DeployError if it fails."""
        command = " ".join(["sh", "-c", shlex.quote(script), "sh", *map(shlex.quote, arguments)])
        ran = Ran()
        try:
            said = b"".join(self._connection.run(command, given, ran, seconds, _MAX_OUTPUT_BYTES)).decode(
                errors="replace"
            )
        except SshError as error:
            raise DeployError(str(error)) from None
        if ran.exit_code != 0:
            last = said.strip().splitlines()[-5:]
            raise DeployError(f"the boss's machine at {self._address} says: {' / '.join(last) or 'nothing'}")
        return said.strip()

    def write(self, path: str, content: bytes, mode: str = "600", owner: str = "root") -> None:
        """Whole or not at all, unreadable for others in between."""
        self.run(_WRITE, path, mode, owner, given=content, seconds=1800.0)


_WRITE = """
set -eu; umask 077
cat >"$1.new"; chown "$3" "$1.new"; chmod "$2" "$1.new"; mv "$1.new" "$1"; sync "$1" 2>/dev/null || true
"""
_OWN_KEY = """
set -eu
for i in 1 2 3 4 5 6 7 8 9 10; do
    if [ -s /etc/ecloud/deploy/own/ssh_host_ed25519_key.pub ]; then
        cat /etc/ecloud/deploy/own/ssh_host_ed25519_key.pub; exit 0
    fi
    sleep 1
done
echo 'its own host key was not kept by the start script' >&2; exit 1
"""


def log_in(kept: Kept, seconds: float, say: Callable[[str], None], clock: Clock) -> BossHost:
    """With the machine's own host key known and shown. Waits until it lets us in. Raises DeployError."""
    record = kept.record
    if not record.host_key:
        say(f"Waiting for {record.address} to let us in ...")
        with _patiently(kept, [kept.first_host_key.public], seconds, clock) as remote:
            record.host_key = " ".join(remote.run(_OWN_KEY).split()[:2])
            kept.save()
    first = [kept.first_host_key.public] if (kept.folder / "host_key").exists() else []
    remote = _patiently(kept, [record.host_key, *first], seconds, clock)
    if first:
        with remote:
            remote.run(_PUT_BACK)
        say("Its own host key is known now, and shown.")
        remote = _patiently(kept, [record.host_key], seconds, clock)
        kept.forget_first_host_key()
    return remote


_PUT_BACK = """
set -eu
cp -p /etc/ecloud/deploy/own/ssh_host_* /etc/ssh/
touch /etc/ecloud/deploy/done
sync
if [ -d /run/systemd/system ]; then systemctl reload ssh 2>/dev/null || systemctl reload sshd 2>/dev/null || true
elif [ -s /run/sshd.pid ]; then kill -HUP "$(cat /run/sshd.pid)"; fi
"""


def _patiently(kept: Kept, host_keys: list[str], seconds: float, clock: Clock) -> BossHost:
    """A machine that boots refuses, or shows the key that it had before its start script ran: tried again."""
    address = kept.record.address
    place = Place(kind="ssh", path="", host=address, user=USER, host_keys=host_keys)
    until = clock.wall() + seconds
    while True:
        try:
            return BossHost(connect(place, kept.key.path), address)
        except SshError as error:
            if clock.wall() >= until:
                raise DeployError(
                    f"the boss's machine at {address} does not let us in: {error}. Its image needs OpenNebula's "
                    "context packages and an sshd that lets root in by key; the same command goes on waiting"
                ) from None
            clock.sleep(LOOK_SECONDS)
