"""The journal: all moves of one turn as one compact blob; those of a task, those after a turn, and the last ones read.

One row a move would cost as much as all else that a turn writes; a row a turn costs next to nothing. To
find the moves of one task again without unpacking everything, each row has the lowest and the highest
task number that it speaks of: tasks run roughly in order, so a turn covers a narrow range. Rows are read in order and
a bounded number at a time; a page always ends with a whole turn, whose number says where to go on.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import Connection, Row, Select, func, select

from boss.core.rows import Move
from boss.database.tables import events
from boss.database.views import JournalLine, JournalPage

#: Rows fetched at once.
_ROWS = 200
_OF_TASKS = ("task", "attempt")

_COLUMNS = select(events.c.turn, events.c.time, events.c.moves)

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


# --- reading -----------------------------------------------------------------------------------------


def story(connection: Connection, number: int) -> list[JournalLine]:
    """Every move that there still is of this task and its attempts, oldest first."""
    chosen = _about(_COLUMNS, number).order_by(events.c.turn)
    return [line for row in connection.execute(chosen) for line in _lines(row, number)]


def page(connection: Connection, after: int, since: float, task: int, limit: int) -> JournalPage:
    """At least `limit` moves of the turns after `after` and not before `since`, if there are so many."""
    chosen = _about(_COLUMNS, task).where(events.c.time >= since).order_by(events.c.turn).limit(_ROWS)
    lines: list[JournalLine] = []
    while True:
        rows = connection.execute(chosen.where(events.c.turn > after)).all()
        for row in rows:
            after = row.turn
            lines += _lines(row, task)
            if len(lines) >= limit:
                return JournalPage(lines=lines, turn=after, more=True)
        if len(rows) < _ROWS:
            return JournalPage(lines=lines, turn=after, more=False)


def last(connection: Connection, task: int, count: int) -> JournalPage:
    """The last moves, oldest of them first."""
    newest = connection.execute(select(func.max(events.c.turn))).scalar() or 0
    chosen = _about(_COLUMNS, task).order_by(events.c.turn.desc()).limit(_ROWS)
    turns: list[list[JournalLine]] = []
    before, found = newest + 1, 0
    while found < count:
        rows = connection.execute(chosen.where(events.c.turn < before)).all()
        for row in rows:
            before = row.turn
            turns.append(list(_lines(row, task)))
            found += len(turns[-1])
            if found >= count:
                break
        if len(rows) < _ROWS:
            break
    lines = [line for turn in reversed(turns) for line in turn]
    return JournalPage(lines=lines[-count:] if count else [], turn=newest, more=False)


def _about(chosen: Select[tuple[int, float, bytes]], task: int) -> Select[tuple[int, float, bytes]]:
    return chosen.where((events.c.lowest <= task) & (events.c.highest >= task)) if task else chosen


def _lines(row: Row[tuple[int, float, bytes]], task: int) -> Iterable[JournalLine]:
    key = str(task)
    for move in unpack(row.moves):
        if not task or (move.key == key and move.what in _OF_TASKS):
            yield JournalLine(turn=row.turn, time=row.time, **msgspec.structs.asdict(move))
