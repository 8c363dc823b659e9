"""The datastore's agent, pure: events in, effects out, by the one door `DatastoreAgent.handle(event, now)`.

    agent ── staging       inputs on their way out
          ├─ collecting    results on their way in, up to incoming
          ├─ publishing    from incoming into the tree: sync, record, place, for many attempts at once
          ├─ files         sent files get their name, names are looked up, users get contents from the boss
          └─ lanes         who is served next: one transfer a worker and direction

`state` is all that it knows, `legal` its tables of legal moves, which `moves` alone carries out; `check` and `story`
are for tests and errors. `events` and `effects` are the contract with whoever carries them out (`datastore.work`, or
the simulation), `records` the publish record, `outgoing` the messages that become of reports.

It touches no file, clock or thread. Up to the publish record an attempt can be given up; from then on it is only ever
completed, by this incarnation or the next.
"""

from datastore.agent.agent import DatastoreAgent
from datastore.agent.outgoing import Outgoing
from datastore.agent.records import Record, RecordedFile, published, record_of
from datastore.agent.state import DatastorePolicy

__all__ = ["DatastoreAgent", "Outgoing", "DatastorePolicy", "Record", "RecordedFile", "published", "record_of"]
