"""Patterns in the names of results: what they mean, and that no pattern takes long."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.patterns import Pattern, fixed_part, fixed_text, is_pattern


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("out/*.csv", "out/a.csv"),
        ("out/*", "out/x.csv"),
        ("out/**/*.csv", "out/a.csv"),
        ("out/**/*.csv", "out/x/y/a.csv"),
        ("out/**", "out/x/y"),
        ("**", "a/b"),
        ("**/x/**/y", "a/x/b/x/y"),
        ("[0-9]?.x", "12.x"),
        ("[!0-9]x", "ax"),
        ("a[", "a["),
        ("[]a]", "]"),
        ("[a-]", "-"),
        ("*\n*", "x\ny"),
        ("*", "ü\n'\""),
        (".*", ".hidden"),
        ("a*b*c", "axxbyyc"),
    ],
)
def test_a_pattern_means_these(pattern: str, path: str) -> None:
    assert Pattern(pattern).matches(path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("out/*.csv", "out/.a.csv"),
        ("out/*.csv", "out/b/a.csv"),
        ("out/*.csv", "other/a.csv"),
        ("out/**", "out"),
        ("out/**", "out/.hidden/y"),
        ("**", "a/.b"),
        ("[!0-9]x", "1x"),
        ("[z-a]", "z"),
        ("?", "."),
        ("a*b*c", "axxcyyb"),
        ("a?c", "a/c"),
        ("A", "a"),
    ],
)
def test_a_pattern_does_not_mean_these(pattern: str, path: str) -> None:
    assert not Pattern(pattern).matches(path)


@given(st.text("ab*?[]!-", max_size=12), st.text("ab]-!", min_size=1, max_size=8))
def test_one_component_means_what_a_shell_means_by_it(pattern: str, name: str) -> None:
    if not pattern or pattern == "**":
        return
    assert Pattern(pattern).matches(name) == bool(re.match(fnmatch.translate(pattern), name))


def test_the_fixed_part_ends_before_the_first_component_with_a_special_character() -> None:
    assert fixed_part("a/b/*.csv") == "a/b"
    assert fixed_part("*.csv") == ""
    assert fixed_part("a/b") == "a/b"
    assert fixed_text("a/b-*.csv") == "a/b-"
    assert fixed_text("a/b") == "a/b"
    assert [is_pattern(text) for text in ("a*", "a?", "a[b]", "a]b")] == [True, True, True, False]


@pytest.mark.timeout(20)
def test_no_pattern_takes_long() -> None:
    assert not Pattern("*a" * 120 + "b").matches("a" * 255)
    assert Pattern("/".join(["**", "*a"] * 100)).matches("/".join(["ba"] * 400))
