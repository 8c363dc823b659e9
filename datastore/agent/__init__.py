"""The datastore's agent, pure: events in, effects out.

`agent` is the door, `state` all that it knows; `collecting`, `publishing`, `staging`, `naming` are the rules, one
idea each. `events` and `effects` are the contract with whoever carries them out.
"""

from datastore.agent.agent import DatastoreAgent
from datastore.agent.outgoing import Outgoing
from datastore.agent.records import Record, RecordedFile, published, record_of
from datastore.agent.state import DatastorePolicy

__all__ = ["DatastoreAgent", "Outgoing", "DatastorePolicy", "Record", "RecordedFile", "published", "record_of"]
