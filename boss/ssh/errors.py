"""What can go wrong on the way to a host; each text names host and cause, and says what a person can do."""

from __future__ import annotations


class ControlError(Exception):
    """The text is for people."""


class Unreachable(ControlError):
    pass


class OtherHostKey(ControlError):
    def __init__(self, text: str, shown: str = "") -> None:
        super().__init__(text)
        #: Fingerprint of the key that the host shows.
        self.shown = shown


class LoginRefused(ControlError):
    pass


class Broken(ControlError):
    pass
