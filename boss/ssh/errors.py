"""What can go wrong on the way to a host; each text names host and cause, and says what an operator can do."""

from __future__ import annotations


class SshError(Exception):
    """The text is a sentence for operators."""


class HostUnreachableError(SshError):
    pass


class HostKeyError(SshError):
    def __init__(self, text: str, shown: str = "") -> None:
        super().__init__(text)
        #: Fingerprint of the key that the host shows.
        self.shown = shown


class LoginRefusedError(SshError):
    pass


class ConnectionBrokenError(SshError):
    pass
