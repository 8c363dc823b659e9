"""From reports to messages: numbered, with confirmations, cut to size, nothing of an earlier connection."""

from __future__ import annotations

from datastore.agent import Outgoing
from datastore.agent.effects import Confirm, Report
from wire.codec import encode
from wire.messages import DatastoreHeartbeat, Stored

DIGEST = "b2:" + "0" * 64


def test_a_turn_goes_out_as_one_numbered_message_with_its_confirmations() -> None:
    outgoing = Outgoing("d", "i")
    outgoing.add(Confirm(3, 7))
    outgoing.add(Report(DatastoreHeartbeat(disk_free=1)))
    outgoing.add(Confirm(3, 8))
    (message,) = outgoing.messages()
    assert (message.deployment, message.incarnation, message.number) == ("d", "i", 1)
    assert (message.epoch, message.confirms, message.reports) == (3, [7, 8], [DatastoreHeartbeat(disk_free=1)])
    assert outgoing.messages() == []
    outgoing.add(Confirm(3, 9))
    assert outgoing.messages()[0].number == 2


def test_confirmations_to_a_former_boss_are_not_said_to_the_next() -> None:
    outgoing = Outgoing("d", "i")
    outgoing.add(Confirm(3, 7))
    outgoing.add(Confirm(4, 1))
    (message,) = outgoing.messages()
    assert (message.epoch, message.confirms) == (4, [1])


def test_what_is_too_large_for_one_message_is_cut_and_keeps_its_order() -> None:
    outgoing = Outgoing("d", "i", limit=2_000)
    reports = [Stored(name=f"file{number}", digest=DIGEST) for number in range(100)]
    outgoing.add(Confirm(1, 1))
    for report in reports:
        outgoing.add(Report(report))
    messages = outgoing.messages()
    assert len(messages) > 1 and all(len(encode(message)) <= 2_000 for message in messages)
    assert [report for message in messages for report in message.reports] == reports
    assert [message.number for message in messages] == list(range(1, len(messages) + 1))
    assert [message.confirms for message in messages] == [[1], *[[] for _ in messages[1:]]]


def test_a_report_that_fits_no_message_is_reported_and_holds_nothing_up() -> None:
    outgoing = Outgoing("d", "i", limit=500)
    giant = Stored(name="x" * 1000, digest=DIGEST)
    outgoing.add(Confirm(1, 1))
    outgoing.add(Report(giant))
    outgoing.add(Report(DatastoreHeartbeat()))
    assert [report for message in outgoing.messages() for report in message.reports] == [DatastoreHeartbeat()]
    assert outgoing.too_large == [giant]


def test_what_was_said_without_a_connection_is_dropped() -> None:
    outgoing = Outgoing("d", "i")
    outgoing.add(Report(DatastoreHeartbeat()))
    outgoing.clear()
    assert outgoing.messages() == []
