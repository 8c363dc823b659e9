"""The one MQTT adapter, used by boss, worker and datastore alike. It knows a broker and bytes, and no message of ours.

`Link` keeps one connection alive, `LinkOptions` says to what, and `LinkEvent` is all that it ever says to its user.
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
