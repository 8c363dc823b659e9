"""What can go wrong on the way to a host; each text names host and cause, and says what an operator can do."""

from __future__ import annotations


class SshError(Exception):
    """The text is a sentence for operators."""


class HostUnreachableError(SshError):
    """Nothing answers there, or no sshd."""


class HostKeyError(SshError):
    """The host shows a key that is not among the pinned ones; nothing was sent to it."""

    def __init__(self, text: str, shown: str = "") -> None:
        super().__init__(text)
        #: Fingerprint of the key that the host shows.
        self.shown = shown


class LoginRefusedError(SshError):
    """It does not let this user in with our key."""


class ConnectionBrokenError(SshError):
    """The connection ended, or took too long."""
