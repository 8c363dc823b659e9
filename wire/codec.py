"""Messages to bytes and back. Pure: JSON (so that `mosquitto_sub` shows the truth), one size limit, clear errors.

What can be wrong with a payload, all of it worth one line in a log and nothing else:

    WireError
    ├── MessageTooLargeError    more bytes than the limit: split before publishing, refused on arrival
    ├── UnknownVersionError     of another version of the protocol: one side is to be updated
    └── MalformedMessageError   not JSON, or no message that a schema fits; says where
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from wire.messages import VERSION, Count, Message
from wire.other_version import OtherReports

#: Bytes of one MQTT payload. Brokers are configured to accept this and a little more.
MAX_BYTES = 8 * 1024 * 1024

M = TypeVar("M")


class WireError(ValueError):
    """A payload that is no message of ours."""


class MessageTooLargeError(WireError):
    """Above the size limit."""


class UnknownVersionError(WireError):
    """Of another version of the protocol than this program's."""


class MalformedMessageError(WireError):
    """No schema fits."""


class _Head(msgspec.Struct):
    version: Count


_encoder = msgspec.json.Encoder()
_head = msgspec.json.Decoder(_Head)
_other = msgspec.json.Decoder(OtherReports)
_decoders: dict[object, msgspec.json.Decoder[object]] = {}


def encode(message: Message, limit: int = MAX_BYTES) -> bytes:
    """The payload. Raises MessageTooLargeError with the sizes."""
    payload = _encoder.encode(message)
    if len(payload) > limit:
        raise MessageTooLargeError(
            f"a {type(message).__name__} of {len(payload):,} bytes is above the limit of {limit:,}"
        )
    return payload


def decode(payload: bytes | bytearray, kind: type[M], limit: int = MAX_BYTES) -> M:
    """The message, which must be of `kind` (that is what the topic carries).

    Unknown fields are ignored. Raises MessageTooLargeError, UnknownVersionError or MalformedMessageError, each of
    which names what is wrong.
    """
    if len(payload) > limit:
        raise MessageTooLargeError(f"a payload of {len(payload):,} bytes is above the limit of {limit:,}")
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders.setdefault(kind, msgspec.json.Decoder(kind))
    try:
        message = decoder.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        # A message of another version seldom fits our schema: say that it is the version, not a field.
        if (stated := _version_of(payload)) not in (None, VERSION):
            raise UnknownVersionError(_version_text(stated)) from None
        raise MalformedMessageError(f"not a {kind.__name__}: {error}") from None
    version = getattr(message, "version", None)
    if version != VERSION:
        raise UnknownVersionError(_version_text(version))
    return message  # type: ignore[return-value]  # the decoder was made for `kind`


def decode_other(payload: bytes | bytearray) -> OtherReports:
    """Reports that `decode` refused with UnknownVersionError. Raises MalformedMessageError."""
    try:
        return _other.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedMessageError(f"no reports of protocol version {_version_of(payload)}: {error}") from None


def _version_of(payload: bytes | bytearray) -> int | None:
    """What the message states, whatever else is in it; None: nothing that can be read."""
    try:
        return _head.decode(payload).version
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def _version_text(version: object) -> str:
    return f"a message of protocol version {version}; this program speaks version {VERSION}: update the older side"
