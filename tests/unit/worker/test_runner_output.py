"""Captured output: head and tail within the limit, a file only when something is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.runner.output import Capture


def test_nothing_written_makes_no_file(tmp_path: Path) -> None:
    capture = Capture(tmp_path / "stdout", 100, 10)
    assert capture.finish() == ""
    assert not (tmp_path / "stdout").exists()


def test_what_fits_is_kept_whole_and_the_tail_is_its_end(tmp_path: Path) -> None:
    capture = Capture(tmp_path / "stdout", 100, 10)
    capture.write(b"hello ")
    capture.write(b"dear world")
    assert capture.finish() == "dear world"
    assert (tmp_path / "stdout").read_bytes() == b"hello dear world"


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
@pytest.mark.parametrize("length", [99, 100, 101, 150, 151, 1234])
def test_beyond_the_limit_head_and_tail_are_kept_in_order(tmp_path: Path, chunk: int, length: int) -> None:
    data = bytes(33 + number % 90 for number in range(length))
    capture = Capture(tmp_path / "stdout", 100, 10)
    for start in range(0, length, chunk):
        capture.write(data[start : start + chunk])
    assert capture.finish() == data[-10:].decode()
    kept = (tmp_path / "stdout").read_bytes()
    if length <= 100:
        assert kept == data
    else:
        assert kept.startswith(data[:50]) and kept.endswith(data[-50:])
        assert f"[... {length - 100:,} bytes left out ...]".encode() in kept


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    capture = Capture(tmp_path / "stdout", 100, 10)
    capture.write(b"a\xffb")
    assert capture.finish() == "a�b"


def test_a_file_that_cannot_be_written_does_not_lose_the_tail(tmp_path: Path) -> None:
    capture = Capture(tmp_path / "missing" / "stdout", 100, 10)
    capture.write(b"hello")
    assert capture.finish() == "hello"
    assert "missing" in capture.fault
