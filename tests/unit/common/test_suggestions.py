"""What a mistyped word was probably meant to be."""

from __future__ import annotations

from boss.common.suggestions import did_you_mean, nearest


def test_the_nearest_known_word_is_suggested() -> None:
    assert did_you_mean("timeuot", ["retries", "timeout"]) == "; did you mean 'timeout'?"
    assert did_you_mean("timeuot", ["retries"]) == did_you_mean("x", []) == ""


def test_how_alike_it_must_be_is_the_callers_choice() -> None:
    assert nearest("time", iter(["timeout"])) == "timeout"
    assert nearest("time", ["timeout"], cutoff=0.9) == ""
