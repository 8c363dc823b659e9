"""Bodies of the routes about the context."""

from __future__ import annotations

import msgspec


class ContextAnswer(msgspec.Struct, kw_only=True):
    #: What other machines call the boss's.
    boss_address: str
    #: Empty: its machine is not made yet.
    datastore_address: str
    #: A person has said where the datastore is.
    said: bool = False
    #: What people should know, a sentence each.
    notes: list[str] = []


class DatastoreRequest(msgspec.Struct, kw_only=True):
    address: str
