"""What a link reports to its user. Values only; they are put into the user's inbox from the link's own thread."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Connected:
    """Logged in, and every required subscription is granted: the moment for a hello.

    Anything published on an earlier connection may be lost.
    """


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection is lost, or cannot be made; the link retries automatically.

    Reported once when a connection ends, and while there is none only when the reason changes.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Received:
    topic: str
    #: Unchecked: the receiver decodes it.
    payload: bytes
    #: True: the broker had kept it from earlier. False: it was published just now.
    retained: bool


@dataclass(frozen=True, slots=True)
class SubscriptionRefused:
    """The broker does not let this login read that topic.

    A required one ends the connection; it is tried again with growing pauses, because rights may be granted meanwhile.
    """

    topic: str


LinkEvent = Connected | Disconnected | Received | SubscriptionRefused
