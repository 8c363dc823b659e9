"""The boss's end: a stream in any pieces, from any sender, becomes a submission or a list of rejections."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boss.core.model import Submission
from boss.intake.collector import Collector
from boss.intake.errors import InputRejectedError
from boss.intake.finish import missing_warnings

HEAD = b'{"version":1}\n'


def collect(*pieces: bytes, **options: int) -> Submission:
    collector = Collector(**options)
    for piece in pieces:
        collector.feed(piece)
    return collector.finish()


def refusal(*pieces: bytes, **options: int) -> str:
    with pytest.raises(InputRejectedError) as caught:
        collect(*pieces, **options)
    return str(caught.value)


def line(id: str, *dependencies: str) -> bytes:
    named = ",".join(f'"{name}"' for name in dependencies)
    return f'{{"id":"{id}","dependencies":[{named}],"execution":{{"commands":["true"]}}}}\n'.encode()


def test_pieces_may_be_cut_anywhere():
    stream = HEAD + line("ä") + b"\n" + line("b", "ä", "ä") + line("c", "b", "x")[:-1]
    whole = collect(stream)
    assert whole.ids == ["ä", "b", "c"] and whole.external == [(2, "x")]
    assert array("I", whole.dependency_targets).tolist() == [0, 1]
    for size in (1, 2, 7, 64):
        pieces = [stream[first : first + size] for first in range(0, len(stream), size)]
        assert collect(*pieces) == whole


def test_a_stream_that_breaks_off_is_refused():
    assert "not even a header" in refusal(b"")
    assert "3 tasks were announced and 1 came" in refusal(b'{"version":1,"tasks":3}\n', line("a"))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"[]\n", "no header of a push"),
        (b"garbage\n", "no header of a push"),
        (b"{}\n", "version"),
        (b'{"version":2}\n', "this boss speaks version 1"),
        (b'{"version":1,"projct":"x"}\n', "projct"),
        (b'{"version":1,"project":"a/b"}\n', "no project name"),
        (b'{"version":1,"merge_strategy":"often"}\n', "neither replace nor keep_succeeded"),
        (b'{"version":1,"files":[{"name":"../x","digest":"b2:0","size":1}]}\n', "leaves the tree"),
        (b'{"version":1,"files":[{"name":"x","digest":"md5","size":1}]}\n', "no right digest"),
    ],
)
def test_a_faulty_header_is_refused(header, words):
    assert words in refusal(header, line("a"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"garbage\n", "task number 2: not JSON"),
        (b"\xff\xff\n", "task number 2"),
        (b'{"id":5}\n', "task number 2, id: expected `str`"),
        (b'{"id":"b","dependencies":["x",5]}\n', "dependencies[1]"),
        (b'{"id":"b","more":5}\n', "unknown field `more`"),
        (b'{"id":"b","requirements":[["a"]]}\n', "requirements[0]"),
        (b'{"id":"b","requirements":[["a","./b"]]}\n', "empty part or a `.`"),
        (b'{"id":"b","execution":{"comands":[]}}\n', "unknown field `comands`"),
        (b'{"id":"b","execution":{"results":[{"source":"a","target":"../../b"}]}}\n', "leaves the tree"),
        (b'{"id":"b","execution":{"slots":-1}}\n', "resources.slots"),
        (b'{"id":"b","execution":{"commands":["x\\u0000"]}}\n', "NUL"),
        (b'{"id":"b","execution":5}\n', "expected `object`"),
        (b'{"id":"b","profile":{"retries":-1}}\n', "retries"),
        (b'{"id":"b","profile":{"priority":"high"}}\n', "priority"),
        (b'{"id":"","execution":{}}\n', "is empty"),
        (b'{"id":"i","init":true,"dependencies":["a"]}\n', "init task"),
        (b'{"id":"b","execution":' + b'{"a":' * 60_000 + b"1" + b"}" * 60_000 + b"}\n", "nested too deeply"),
    ],
)
def test_a_faulty_line_is_reported_and_the_others_still_judged(text, words):
    rejected = refusal(HEAD, line("a"), text, line("z", "z"))
    assert words in rejected and 'task "z", dependencies: the task depends on itself' in rejected


def test_a_line_above_the_limit_is_reported_and_never_held_whole():
    collector = Collector(task_bytes=1000)
    collector.feed(HEAD + line("a") + b'{"id":"')
    for _ in range(100):
        collector.feed(b"x" * 1000)
        assert len(collector._pending) <= 2000
    collector.feed(b'"}\n' + line("b") + line("b"))
    with pytest.raises(InputRejectedError) as caught:
        collector.finish()
    assert [rejection.position for rejection in caught.value.rejections] == [2, 4]
    assert "longer than 1,000 bytes" in refusal(HEAD, b'{"id":"' + b"x" * 2000 + b'"}\n', task_bytes=1000)


def test_a_line_above_the_limit_is_reported_with_its_task_however_it_comes():
    long = b'{"id":"\xc3\xa4 \\"b","execution":{"env":{"X":"' + b"x" * 2000 + b'"}}}\n'
    expected = (
        'task "ä "b": its description is longer than 1,000 bytes (the setting max_task_bytes). '
        "Put large data into a file and name it in `requirements`."
    )
    stream = HEAD + line("a") + long + line("z")
    for size in (7, 900, 1500, len(stream)):
        pieces = [stream[first : first + size] for first in range(0, len(stream), size)]
        assert refusal(*pieces, task_bytes=1000) == expected


def test_a_retry_that_is_written_out_as_the_default_makes_the_same_content_and_another_profile():
    """Contents are on record from a time when both were the same."""

    def of(profile: str) -> tuple[bytes, int | None]:
        submission = collect(HEAD, f'{{"id":"a","execution":{{}},"profile":{profile}}}\n'.encode())
        return submission.contents[0], submission.profiles[0].retries

    unset, zero, two = of("{}"), of('{"retries":0,"retry_delay":1}'), of('{"retries":2}')
    assert (unset[1], zero[1], two[1]) == (None, 0, 2)
    assert unset[0] == zero[0] != two[0]
    assert unset[0].hex() == "f9df8ed3512d5697adb6b5345cf10180"


def test_too_many_tasks_are_refused_before_the_end():
    collector = Collector(max_tasks=10)
    with pytest.raises(InputRejectedError, match="more than 10 tasks"):
        collector.feed(HEAD + b"".join(line(str(number)) for number in range(20)))


def test_profile_s_slots_and_memory_follow_from_the_execution():
    text = b'{"id":"a","execution":{"slots":3,"memory":5},"profile":{"slots":1,"memory":1,"staging":true}}\n'
    (profile,) = collect(HEAD, text).profiles
    assert (profile.slots, profile.memory, profile.staging) == (3, 5, False)


def test_a_sent_file_that_is_not_needed_is_left_out_with_a_warning():
    digest = "b2:" + "0" * 64
    submission = collect(f'{{"version":1,"files":[{{"name":"x","digest":"{digest}","size":1}}]}}\n'.encode(), line("a"))
    assert submission.files == [] and "`x`" in submission.warnings[0]


def test_many_warnings_of_a_kind_are_counted_not_listed():
    lines = [f'{{"id":"{n}","requirements":[["f{n}","f"]]}}\n'.encode() for n in range(1000)]
    submission = collect(HEAD, *lines)
    warnings = missing_warnings(submission, ())
    assert len(warnings) == 21 and "980 more" in warnings[-1] and '"0": the requirement `f0`' in warnings[0]
    known = {f"f{number}" for number in range(995)}
    assert len(missing_warnings(submission, known)) == 5, "results of earlier pushes are no matter"


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 100))
def test_garbage_never_gets_a_traceback(garbage, place):
    stream = HEAD + line("a") + line("b", "a")
    try:
        collect(stream[:place] + garbage + stream[place:])
    except InputRejectedError as errors:
        assert str(errors)


def test_a_large_graph_in_reverse_order_is_taken():
    count = 50_000
    lines = [line(str(n), str(n + 1), str(min(n + 2, count))) for n in range(count)]
    submission = collect(HEAD, b"".join(lines))
    assert len(submission.ids) == count and len(submission.external) == 2
    assert submission.ids[:2] == ["0", "1"]
    refused = refusal(HEAD, *lines, line(str(count), "0"))
    assert "0 -> 1 -> 2" in refused
