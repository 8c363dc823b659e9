"""A connection to a host over SSH: is it there, is it the host that it was, run a command and hand on what it writes.

    connection.connect      TCP and the key exchange; the host's key against the pinned ones, before anything is sent
    SshConnection.run       one command, its output as it comes, bounded in time and bytes

    SshError
    ├── HostUnreachableError    nothing answers there, or no sshd
    ├── HostKeyError            the host shows a key that is not among the pinned ones; nothing was sent to it
    ├── LoginRefusedError       it does not let this user in with our key
    └── ConnectionBrokenError   the connection ended, or took too long

It serves the check of a worker's host (admin.py debug_worker), the provider `static`, and `boss.deploy`. It accepts no
unknown key and no password, and knows places and keys, nothing of tasks, workers or HTTP. Files of tasks are moved by
the datastore, by an ssh of its own.
"""

from boss.ssh.connection import SshConnection, connect
from boss.ssh.errors import ConnectionBrokenError, HostKeyError, HostUnreachableError, LoginRefusedError, SshError

__all__ = [
    "ConnectionBrokenError",
    "SshConnection",
    "SshError",
    "LoginRefusedError",
    "HostKeyError",
    "HostUnreachableError",
    "connect",
]
