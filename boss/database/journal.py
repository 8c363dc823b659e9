"""The journal's packing: all moves of one turn as one compact blob, and back. Pure.

One row a move would cost as much as all else that a turn writes; a row a turn costs next to nothing. To
find the moves of one task again without unpacking everything, each row has the lowest and the highest
task number that it speaks of: tasks run roughly in order, so a turn covers a narrow range.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec

from boss.core.rows import Move

_PLAIN = b"m"
_SQUEEZED = b"z"
_SQUEEZE_FROM = 512

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[tuple[str, str, int, str, str, str]])


def pack(moves: Sequence[Move]) -> bytes:
    """The moves as bytes: MessagePack, squeezed where that is worth it."""
    plain = _encoder.encode([msgspec.structs.astuple(move) for move in moves])
    if len(plain) < _SQUEEZE_FROM:
        return _PLAIN + plain
    return _SQUEEZED + zlib.compress(plain, 1)


def unpack(blob: bytes) -> list[Move]:
    """What `pack` was given."""
    plain = zlib.decompress(blob[1:]) if blob[:1] == _SQUEEZED else blob[1:]
    return [Move(*values) for values in _decoder.decode(plain)]


def task_range(moves: Sequence[Move]) -> tuple[int, int]:
    """The lowest and highest task number among the moves; (0, 0) if they are about no task."""
    numbers = {int(move.key) for move in moves if move.what in ("task", "attempt") and move.key.isdecimal()}
    return (min(numbers), max(numbers)) if numbers else (0, 0)
