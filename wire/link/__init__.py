"""The one MQTT adapter, used by boss, worker and datastore alike. It knows a broker and bytes, and no message of ours.

    Link (`link`)          a thread that keeps one connection alive; publish and subscribe never block
    ├─ connection          one connection, from CONNECT to its end, driven by that thread through paho
    └─ outbox              what waits to be published, bounded, and which topics are to be read

`options` says to which broker and as whom; `events` is all that a link says to its user, from its own thread.

It promises no delivery: what a connection leaves unsent is discarded, because an order that arrives late is worse than
one that is sent again. Repetition until acknowledged is the business of the programs.
"""

from wire.link.events import Connected, Disconnected, LinkEvent, Received, SubscriptionRefused
from wire.link.link import Link
from wire.link.options import LinkError, LinkOptions, PresenceOptions
from wire.tls import TlsOptions

__all__ = [
    "Connected",
    "Disconnected",
    "Link",
    "LinkError",
    "LinkEvent",
    "LinkOptions",
    "PresenceOptions",
    "Received",
    "SubscriptionRefused",
    "TlsOptions",
]
