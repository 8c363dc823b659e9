"""How a link is set up: where the broker is, as whom, and its limits. Checked when made, before any connection."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from wire.codec import MAX_BYTES
from wire.tls import TlsOptions


class LinkError(ValueError):
    """The options cannot work; says which one and why."""


@dataclass(frozen=True)
class PresenceOptions:
    """A retained sign of life: published at every connection, replaced by the offline one at stop, or by the broker."""

    topic: str
    online: bytes
    offline: bytes


@dataclass(frozen=True)
class LinkOptions:
    host: str
    port: int
    #: Must be unique per incarnation of the program: two clients with one id throw each other out for ever.
    client_id: str
    username: str = ""
    password: str = field(default="", repr=False)
    tls: TlsOptions | None = None
    presence: PresenceOptions | None = None
    #: Seconds; a peer that went silent is noticed after at most one and a half of it.
    keepalive_seconds: int = 15
    #: Limits of what waits here or at the broker unacknowledged. One message alone may always be as large as allowed.
    max_queued_bytes: int = 64 * 1024 * 1024
    max_queued_messages: int = 20_000
    max_payload_bytes: int = MAX_BYTES
    #: How many QoS 1 messages may wait for the broker's acknowledgement.
    max_in_flight: int = 100
    #: A broker that leaves a login, a subscription or a publish unanswered for so long is disconnected and retried.
    answer_seconds: float = 60.0
    connect_seconds: float = 5.0
    #: Pause before the next attempt: doubles from the first to the second, times a random factor of 0.5 to 1.
    reconnect_min_seconds: float = 0.2
    reconnect_max_seconds: float = 10.0

    def __post_init__(self) -> None:
        if not self.host:
            raise LinkError("the broker's host is empty")
        if not 0 < self.port < 65536:
            raise LinkError(f"the broker's port {self.port} is not in 1 .. 65535")
        if not self.client_id or len(self.client_id.encode()) > 200 or "\0" in self.client_id:
            raise LinkError(f"the MQTT client id {self.client_id!r} must have 1 to 200 bytes")
        if self.keepalive_seconds < 1:
            raise LinkError(f"a keepalive of {self.keepalive_seconds} s is below 1 s")
        if self.max_in_flight < 1:
            raise LinkError(f"max_in_flight {self.max_in_flight} is below 1: nothing could be published")


def tls_context(options: TlsOptions) -> ssl.SSLContext:
    """The context that paho is given. Raises LinkError naming the file that cannot be used."""
    try:
        context = ssl.create_default_context(cafile=None if options.ca_file is None else str(options.ca_file))
    except OSError as error:
        raise LinkError(f"cannot read the broker's authority certificates {options.ca_file}: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.certificate_file is not None:
        try:
            context.load_cert_chain(options.certificate_file, options.key_file)
        except OSError as error:
            raise LinkError(
                f"cannot use the client certificate {options.certificate_file} with key {options.key_file}: {error}"
            ) from None
    return context
