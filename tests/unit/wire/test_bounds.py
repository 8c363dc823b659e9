"""Every text, number, list and table of every message has a bound in its schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from wire.codec import MAX_BYTES, MalformedMessageError, decode
from wire.messages import (
    MAX_CACHED,
    MAX_LABEL,
    MAX_LABELS,
    MAX_SLOTS,
    REASON_KEPT,
    VERSION,
    DatastoreOrders,
    DatastoreReports,
    OutputPart,
    Presence,
    WorkerOrders,
    WorkerReports,
    shortened,
)
from wire.other_version import OtherReports

KINDS = (WorkerOrders, WorkerReports, DatastoreOrders, DatastoreReports, Presence, OutputPart, OtherReports)
#: What users write is checked when it is pushed (`boss.intake`), with sentences that name it; only the boss sends it.
OF_USERS = {
    "EpanetRun.output", "EpanetRun.options", "EpanetRun.scenarios", "EpanetRun.rows",
    "Execution.timeout", "Execution.slots", "Execution.memory",
}  # fmt: skip


def unbounded(kind: Any, place: str, seen: set[type]) -> Iterator[str]:
    """The places that take a value of any length or size."""
    if isinstance(kind, inspect.StructType):
        if kind.cls in seen:
            return
        seen.add(kind.cls)
        for field in kind.fields:
            yield from unbounded(field.type, f"{kind.cls.__name__}.{field.encode_name}", seen)
    elif isinstance(kind, inspect.UnionType):
        for each in kind.types:
            yield from unbounded(each, place, seen)
    elif isinstance(kind, inspect.StrType):
        if kind.max_length is None or kind.max_length > MAX_BYTES:
            yield place
    elif isinstance(kind, inspect.IntType | inspect.FloatType):
        if kind.ge is None or kind.le is None:
            yield place
    elif isinstance(kind, inspect.ListType):
        if kind.max_length is None:
            yield place
        yield from unbounded(kind.item_type, place, seen)
    elif isinstance(kind, inspect.DictType):
        if kind.max_length is None:
            yield place
        for each in (kind.key_type, kind.value_type):
            yield from unbounded(each, place, seen)
    elif isinstance(kind, inspect.TupleType):
        for each in kind.item_types:
            yield from unbounded(each, place, seen)
    elif not isinstance(kind, inspect.LiteralType | inspect.BoolType | inspect.NoneType):
        yield place


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_everything_in_a_message_has_a_bound(kind: type) -> None:
    assert set(unbounded(inspect.type_info(kind), kind.__name__, set())) <= OF_USERS


def test_the_walk_finds_what_has_none() -> None:
    class Loose(msgspec.Struct):
        text: str
        number: int
        lists: list[list[bool]]
        table: dict[str, float]

    found = set(unbounded(inspect.type_info(Loose), "", set()))
    assert found == {"Loose.text", "Loose.number", "Loose.lists", "Loose.table"}


HELLO: dict[str, Any] = {"type": "hello", "pool": "p", "slots": 1, "place": {"path": "/"}}


def reports(*said: dict[str, Any], **envelope: object) -> bytes:
    fields = {"deployment": "d", "worker": "w", "incarnation": "i", "number": 1, "epoch": 1, "confirms": []} | envelope
    return msgspec.json.encode({"type": "worker_reports", "version": VERSION, "reports": list(said), **fields})


OUTCOME = {"type": "outcome", "task": 1, "attempt": 1, "ended": "failed"}
BEAT = {"type": "heartbeat"}
AT_THE_BOUND = [
    reports(HELLO | {"slots": MAX_SLOTS, "pool": "p" * 255}),
    reports(HELLO | {"labels": {f"{n:03}" + "x" * (MAX_LABEL - 3): "y" * MAX_LABEL for n in range(MAX_LABELS)}}),
    reports(HELLO | {"cached": ["b2:" + "0" * 64] * MAX_CACHED}),
    reports(OUTCOME | {"stdout_tail": "x" * 65_536, "reason": "x" * 16_384, "command": "x" * 4 * 1024 * 1024}),
    reports(BEAT | {"progress": [[1, 1, 0.0], [1, 1, 1.0]]}),
    reports(incarnation="i" * 64, worker="w" * 63),
]
BEYOND = {
    "slots": reports(HELLO | {"slots": MAX_SLOTS + 1}),
    "pool": reports(HELLO | {"pool": "p" * 256}),
    "a label": reports(HELLO | {"labels": {"l": "y" * (MAX_LABEL + 1)}}),
    "labels": reports(HELLO | {"labels": {str(number): "" for number in range(MAX_LABELS + 1)}}),
    "cache": reports(HELLO | {"cached": ["b2:"] * (MAX_CACHED + 1)}),
    "host keys": reports(HELLO | {"place": {"path": "/", "host_keys": ["k"] * 33}}),
    "tail": reports(OUTCOME | {"stderr_tail": "x" * 65_537}),
    "reason": reports(OUTCOME | {"reason": "x" * 16_385}),
    "figures": reports(OUTCOME | {"figures": {str(number): 1.0 for number in range(1_001)}}),
    "progress": reports(BEAT | {"progress": [[1, 1, 1.5]]}),
    "digest": reports(BEAT | {"cached": ["b2:" + "0" * 65]}),
    "incarnation": reports(incarnation="i" * 65),
    "reports": reports(*[{"type": "returned", "task": 1, "attempt": 1}] * (2**16 + 1)),
    "confirms": reports(confirms=[1] * (2**16 + 1)),
}


@pytest.mark.parametrize("payload", AT_THE_BOUND)
def test_what_honest_agents_may_say_fits(payload: bytes) -> None:
    assert decode(payload, WorkerReports).version == VERSION


@pytest.mark.parametrize("payload", BEYOND.values(), ids=BEYOND)
def test_what_is_beyond_a_bound_fits_no_schema(payload: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        decode(payload, WorkerReports)


def test_a_reason_is_cut_where_it_is_sent_and_kept() -> None:
    assert shortened("x" * REASON_KEPT) == "x" * REASON_KEPT
    cut = shortened("x" * 9_000)
    assert len(cut) == REASON_KEPT
    assert cut.endswith("x ...")
