"""What is printed: foreign text made harmless, counts, durations, the legacy lines, the pace."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from boss.api import schema
from boss.cli import format_tasks, format_workers
from boss.cli.terminal import ProgressLine, bar, duration, format_progress, format_size, harmless
from boss.core.reasons import MessageRejection, ReportRejection
from tests.worlds.waiting import scaled


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 水 id", "plain ä 水 id"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("two\nlines\t", "two\\nlines\\t"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb", "a\\u202eb"),
        ("a\ud800b", "a\\ud800b"),
        ("no\u00a0break", "no\u00a0break"),
    ],
)
def test_control_characters_are_shown_and_not_sent(text: str, shown: str) -> None:
    assert harmless(text) == shown


def test_lines_stay_lines_where_they_are_wanted() -> None:
    assert harmless("one\n\ttwo\x1b[2J\r\n", lines=True) == "one\n\ttwo\\x1b[2J\\r\n"


def test_words_for_numbers() -> None:
    assert [duration(seconds) for seconds in (0, 7.4, 750, 11045)] == ["0:00", "0:07", "12:30", "3:04:05"]
    assert [format_size(size) for size in (999, 1500, 2.5e6, 7e12)] == ["999 bytes", "1.5 kB", "2.5 MB", "7,000.0 GB"]
    assert [bar(fraction, 4) for fraction in (-1, 0.5, 2)] == ["[....]", "[##..]", "[####]"]


def _batch(**numbers: int) -> schema.BatchAnswer:
    counts = schema.Counts(**numbers)
    return schema.BatchAnswer(
        number=1, project="default", name="n", counts=counts, total=counts.total, finished=not counts.unfinished
    )


def test_progress_says_done_running_failed_rate_and_eta() -> None:
    batch = _batch(succeeded=11, failed=1, running=4, queued=84)
    batch = replace(batch, rate=3.2, eta_seconds=25.0)
    assert format_progress(batch) == "12/100 done, 4 running, 1 failed, 3.2/s, ETA 0:25"
    batch = replace(_batch(queued=2), files_waiting=3)
    assert format_progress(batch) == "0/2 done, 0 running, 3 files on the way to the datastore"


def test_elsewhere_than_on_a_terminal_progress_is_a_plain_line_now_and_then() -> None:
    stream = io.StringIO()
    line = ProgressLine(stream)
    for words in ("one", "two", "three"):
        line.show(1, 2, words)
    line.show(2, 2, "last", last=True)
    line.end()
    assert stream.getvalue() == "one\nlast\n"


def test_on_a_terminal_the_line_is_drawn_over_itself() -> None:
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    line = ProgressLine(stream)
    line.show(1, 2, "a long line", last=True)
    line.show(2, 2, "short", last=True)
    line.say("a sentence")
    first, second, rest = [*stream.getvalue().split("\r")[1:], ""]
    assert first.endswith("a long line")
    assert second.rstrip("\n").startswith("[########################] short   ")
    assert stream.getvalue().endswith("\na sentence\n") and rest == ""


def test_status_has_the_four_legacy_lines() -> None:
    status = schema.StatusAnswer(
        running=True,
        workers=3,
        in_queue=45,
        available=12,
        in_progress=6,
        finished=7,
        succeeded=5,
        failed=2,
        cancelled=0,
        counts=schema.Counts(),
        hindrances=[],
        warnings=["no worker fits\x1b"],
        broker_connected=True,
        datastore_connected=True,
        deployment="d",
        epoch=1,
        turn=1,
    )
    assert list(format_tasks.status_lines(status)) == [
        "3 workers created.",
        "45 tasks in queue of which 12 are currently available.",
        "6 tasks in progress.",
        "7 tasks finished. 5 succeeded and 2 failed.",
        "no worker fits\\x1b",
    ]
    assert any(
        "No boss is running" in line
        for line in format_tasks.status_lines(msgspec.structs.replace(status, running=False))
    )


def test_status_counts_the_reports_that_the_boss_rejected_by_reason() -> None:
    status = schema.StatusAnswer(
        running=True, workers=0, in_queue=0, available=0, in_progress=0, finished=0, succeeded=0, failed=0, cancelled=0,
        counts=schema.Counts(), hindrances=[], broker_connected=True, datastore_connected=True, deployment="d", epoch=1,
        turn=1, rejected_reports={"other_deployment": 3, "of late\x1b": 1},
    )  # fmt: skip
    assert list(format_tasks.status_lines(status))[4:] == [
        "The boss has rejected reports since its start: 3 of workers of another deployment, 1 of late\\x1b."
    ]


def test_every_reason_for_which_a_report_is_rejected_has_its_text() -> None:
    assert set(format_tasks.REJECTED_REPORTS) == {*ReportRejection, *MessageRejection}


def test_a_worker_is_shown_in_the_legacy_format() -> None:
    worker = schema.WorkerAnswer(id="w1", state="online", pool="local", slots=2, address="10.0.0.1")
    assert (
        format_workers.worker_line(worker) == "ID: w1  IP: 10.0.0.1  Doing: nothing  Persistent: False  State: online"
    )
    held = [
        schema.HeldAnswer(task=1, project="default", id="a", attempt=1, phase="executing"),
        schema.HeldAnswer(task=2, project="default", id="b", attempt=1, phase="staged"),
    ]
    assert "Doing: a  " in format_workers.worker_line(replace(worker, holding=held))


def test_a_failed_task_has_the_long_header_and_one_that_never_ran_the_short_one() -> None:
    failed = schema.TaskAnswer(
        number=1, project="default", id="2", state="failed", batch=1, reason="exit code 1", worker="w1",
        address="10.0.0.1", exit_code=1, commands=["true", "a\nb"],
    )  # fmt: skip
    blocked = schema.TaskAnswer(
        number=2, project="default", id="1", state="blocked", batch=1, reason="dependencies failed", commands=["cat x"]
    )
    assert list(format_tasks.ended_lines([failed, blocked])) == [
        "ID: 2\tWorker ID: w1\tWorker address: 10.0.0.1\tExit code: 1\tReason: exit code 1",
        "\ttrue",
        "\ta\n\tb",
        "ID: 1\tExit code: \tReason: dependencies failed",
        "\tcat x",
    ]


def test_a_change_is_shown_in_counts() -> None:
    lines = format_tasks.change_lines(schema.ChangeAnswer(done={"cancelled": 1, "asked": 2, "untouched": 9}))
    assert list(lines) == ["1 task cancelled, 2 tasks being cancelled."]
    nothing = schema.ChangeAnswer(done={"retried": 0}, carry_on="none")
    assert list(format_tasks.change_lines(nothing)) == ["There is nothing to do."]
    untouched = schema.ChangeAnswer(
        done={"redone": 0, "untouched": 2, "untouched_states": {"running": 1, "blocked": 1}}
    )
    _, runs, blocked = format_tasks.change_lines(untouched)
    assert "1 task: runs at present" in runs and "admin.py cancel" in runs
    assert "admin.py retry_failed" in blocked
    retried = schema.ChangeAnswer(done={"retried": 3}, carry_on="the next boss does it")
    assert list(format_tasks.change_lines(retried))[1] == "the next boss does it"


def test_a_terminal_that_was_closed_ends_the_program_as_its_signal_would() -> None:
    """It may take nothing a moment before the signal is there. Here it has no process: no signal comes at all."""
    ours, theirs = pty.openpty()
    program = (
        "import sys; from boss.cli.terminal import ProgressLine; line = ProgressLine(sys.stderr); line.say('here')\n"
        "sys.stdin.read(); line.show(1, 2, 'words', last=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    assert b"here" in os.read(ours, 100)
    os.close(ours)
    process.communicate(timeout=scaled(60))
    assert process.returncode == -signal.SIGHUP
