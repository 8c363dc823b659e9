"""Reports of agents that speak another version of the protocol: as much of them as it takes to answer. Values only.

    version   what it differs in from the one after it
    1         a hello has `in_hand` instead of `held`, the datastore's heartbeat `hindrance` instead of `warning`

All versions have the same envelope, and the orders `say_hello`, `stop` and `replace` of version 1 have the keys of
today: an agent of version 1 takes these orders when the message carries its version. Nothing else of it is translated.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from wire.messages import MANY, Count, Name, Token

#: Versions whose agents take `say_hello`, `stop` and `replace`.
ORDERED = frozenset({1})


class _Held(msgspec.Struct, frozen=True):
    phase: Name = ""


class _Report(msgspec.Struct, frozen=True):
    """Any report; the fields are those of a hello."""

    type: Name = ""
    bundle: Name = ""
    in_hand: Annotated[list[_Held], msgspec.Meta(max_length=MANY)] = msgspec.field(default_factory=list)


class OtherReports(msgspec.Struct, frozen=True):
    """The envelope of reports of a worker or of the datastore, in whatever version."""

    version: Count
    deployment: Token
    incarnation: Token
    reports: Annotated[list[_Report], msgspec.Meta(max_length=MANY)]
    worker: Token = ""

    @property
    def hello(self) -> _Report | None:
        return next((report for report in self.reports if report.type == "hello"), None)

    @property
    def executes(self) -> bool:
        """By its hello, it executes a task."""
        hello = self.hello
        return hello is not None and any(held.phase == "executing" for held in hello.in_hand)
