"""A connection to a host over SSH: is it there, is it the one that it was, run a command and hand on what it says.

Knows places and keys, nothing of tasks, workers or HTTP. Serves people who look at a worker's host, and the provider
`static`, which starts agents by it. The datastore moves the files, by ssh of its own.

    SshError
    ├── HostUnreachableError    nothing answers there, or no sshd
    ├── HostKeyError            the host shows a key that is not among the pinned ones; nothing was sent to it
    ├── LoginRefusedError       it does not let this user in with our key
    └── ConnectionBrokenError   the connection ended, or took too long
"""

from boss.ssh.connection import SshConnection, connect
from boss.ssh.errors import ConnectionBrokenError, HostKeyError, HostUnreachableError, LoginRefusedError, SshError
from boss.ssh.host_keys import fingerprint

__all__ = [
    "ConnectionBrokenError",
    "SshConnection",
    "SshError",
    "LoginRefusedError",
    "HostKeyError",
    "HostUnreachableError",
    "connect",
    "fingerprint",
]
