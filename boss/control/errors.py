"""What can go wrong on the way to a host; each text names host and cause, and says what a person can do."""

from __future__ import annotations


class ControlError(Exception):
    """The text is for people."""


class Unreachable(ControlError):
    pass


class OtherHostKey(ControlError):
    pass


class LoginRefused(ControlError):
    pass


class Broken(ControlError):
    pass
