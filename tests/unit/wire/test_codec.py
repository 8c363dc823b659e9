"""Messages to bytes and back, and everything that can be wrong with bytes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.codec import (
    MAX_BYTES,
    MalformedMessageError,
    MessageTooLargeError,
    UnknownVersionError,
    WireError,
    decode,
    encode,
)
from wire.messages import (
    VERSION,
    Acknowledge,
    Collect,
    CollectFile,
    DatastoreOrders,
    DatastoreReports,
    Execution,
    Heartbeat,
    HeldAttempt,
    Input,
    Message,
    Outcome,
    OutputPart,
    Place,
    Presence,
    Published,
    PublishedFile,
    Run,
    Stage,
    WorkerHello,
    WorkerOrders,
    WorkerReports,
)

PLACE = Place(kind="ssh", path="/home/w", host="10.0.0.1", user="ecloud", host_keys=["ssh-ed25519 AAAA"])
DIGEST = "b2:" + "0" * 64

EXAMPLES: list[Message] = [
    WorkerOrders(
        version=VERSION,
        deployment="d",
        receiver="i",
        epoch=1,
        number=7,
        orders=[
            Run(
                task=1,
                attempt=2,
                batch=3,
                project="default",
                id='ä " \\ \n 水',
                execution=Execution(commands=["true", ["echo", "a b"]], env={"A": "1"}, timeout=1.5),
                staging=True,
                inits=[9],
            ),
            Acknowledge(attempts=[(1, 1), (2, 3)]),
        ],
    ),
    WorkerReports(
        version=VERSION,
        deployment="d",
        worker="w",
        incarnation="i",
        number=1,
        epoch=1,
        confirms=[1, 2],
        reports=[
            WorkerHello(pool="local", slots=2, place=PLACE, held=[HeldAttempt(task=1, attempt=1, phase="executing")]),
            Outcome(task=1, attempt=1, ended="failed", exit_code=-9, stderr_tail="\x1b[31m\x00"),
            Heartbeat(progress=[(1, 1, 0.5)]),
        ],
    ),
    DatastoreOrders(
        version=VERSION,
        deployment="d",
        receiver="i",
        epoch=1,
        number=1,
        orders=[
            Stage(task=1, attempt=1, worker="w", place=PLACE, inputs=[Input(name="a", path="b")]),
            Collect(
                task=1,
                attempt=1,
                worker="w",
                place=PLACE,
                files=[CollectFile(source="a", target="b", size=2**40, digest=DIGEST)],
            ),
        ],
    ),
    DatastoreReports(
        version=VERSION,
        deployment="d",
        incarnation="i",
        number=1,
        epoch=1,
        confirms=[],
        reports=[Published(task=1, attempt=1, files=[PublishedFile(name="a", size=0, digest=DIGEST)])],
    ),
    Presence(version=VERSION, deployment="d", name="boss", incarnation="i", online=True, epoch=3),
    OutputPart(version=VERSION, deployment="d", task=1, attempt=1, stream="stdout", text="line\n"),
]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_every_message_comes_back_as_it_was(message: Message) -> None:
    assert decode(encode(message), type(message)) == message


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_unknown_fields_are_ignored_wherever_they_stand(message: Message) -> None:
    def widen(value: object) -> object:
        if isinstance(value, dict):
            return {key: widen(each) if key != "env" else each for key, each in value.items()} | {
                "later": [1, {"x": 2}]
            }
        return [widen(each) for each in value] if isinstance(value, list) else value

    widened = msgspec.json.encode(widen(msgspec.json.decode(encode(message))))
    assert decode(widened, type(message)) == message


def test_the_wire_is_plain_json_that_an_operator_can_read() -> None:
    text = encode(EXAMPLES[4]).decode()
    assert text == (
        '{"type":"presence","version":2,"deployment":"d","name":"boss","incarnation":"i","online":true,"epoch":3}'
    )


def test_a_message_of_another_kind_is_refused_although_it_is_valid() -> None:
    with pytest.raises(MalformedMessageError, match="WorkerOrders"):
        decode(encode(EXAMPLES[4]), WorkerOrders)


def test_another_version_is_named_whether_or_not_its_fields_fit() -> None:
    fits = encode(EXAMPLES[4]).replace(b'"version":2', b'"version":3')
    differs = b'{"type":"presence","version":3,"who":{}}'
    for payload in (fits, differs):
        with pytest.raises(UnknownVersionError, match="version 3; this program speaks version 2"):
            decode(payload, Presence)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x00",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b"3",
        b'{"type":"presence"}',
        b'{"type":"presence","version":2}',
        b'{"type":"presence","version":"1"}',
        b'{"type":"presence","version":1e400}',
        b'{"type":"presence","version":2,"deployment":1,"name":"","incarnation":"","online":true}',
        b'{"type":"presence","version":2,"deployment":"\xff","name":"","incarnation":"","online":true}',
        b'{"type":"presence","version":2,"deployment":"d","name":"n","incarnation":"i","online":true}x',
        b'{"type":"presence","version":2,"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"type":"presence","version":2,"x":' + b'{"a":' * 200_000,
    ],
    ids=lambda payload: repr(payload[:40]),
)
def test_garbage_is_malformed_and_nothing_else(payload: bytes) -> None:
    with pytest.raises(MalformedMessageError, match="not a Presence"):
        decode(payload, Presence)


def test_an_unknown_order_makes_the_whole_message_malformed_and_names_the_place() -> None:
    payload = encode(EXAMPLES[0]).replace(b'"type":"acknowledge"', b'"type":"explode"')
    with pytest.raises(MalformedMessageError, match=r"explode.*orders"):
        decode(payload, WorkerOrders)


@given(st.binary(max_size=200))
def test_no_bytes_whatever_raise_anything_but_a_wire_error(payload: bytes) -> None:
    for kind in (WorkerOrders, WorkerReports, DatastoreOrders, DatastoreReports, Presence, OutputPart):
        with pytest.raises(WireError):
            decode(payload, kind)


def test_a_message_above_the_limit_is_refused_on_both_sides() -> None:
    part = OutputPart(version=VERSION, deployment="d", task=1, attempt=1, stream="stdout", text="x" * 1000)
    with pytest.raises(MessageTooLargeError, match=r"OutputPart of 1,0.. bytes is above the limit of 1,000"):
        encode(part, limit=1000)
    with pytest.raises(MessageTooLargeError, match="above the limit of 1,000"):
        decode(encode(part), OutputPart, limit=1000)
    with pytest.raises(MessageTooLargeError):
        decode(b"x" * (MAX_BYTES + 1), OutputPart)


def test_a_bytearray_is_decoded_too() -> None:
    assert decode(bytearray(encode(EXAMPLES[4])), Presence) == EXAMPLES[4]
