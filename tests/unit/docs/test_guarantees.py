"""docs/guarantees.md names files and broken rules that exist, and leaves out none of the rules."""

from __future__ import annotations

import re
from pathlib import Path

from tests.simulation.mutations import MUTATIONS

TOP = Path(__file__).resolve().parents[3]
PAGE = (TOP / "docs" / "guarantees.md").read_text()


def test_every_file_that_is_named_is_there() -> None:
    named = re.findall(r"`((?:boss|worker|datastore|wire|tests)/[^` ]+)`", PAGE)
    assert named
    assert not [name for name in named if not (TOP / name).exists()]


def test_every_broken_rule_is_named_with_the_promise_that_it_breaks() -> None:
    assert not [mutation.name for mutation in MUTATIONS if f"`{mutation.name}`" not in PAGE]
