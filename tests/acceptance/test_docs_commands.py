"""Runs what README and docs tell the reader to run: the blocks marked `run`, page by page, in a fresh copy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.checkout import copy_checkout, end_all_in, run_script, wait_until_alone
from tests.worlds.doc_blocks import RUN, SYNTAX, Block, all_blocks

BLOCK_SECONDS = 400.0
#: A boss that no client follows ends, and with it all that it started.
LEAVING_SECONDS = 30.0


def of_kind(kind: str) -> list[Block]:
    return [block for block in all_blocks() if block.is_commands and block.kind == kind]


PAGES = sorted({block.page for block in of_kind(RUN)})


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    directory = copy_checkout(tmp_path / "ecloud")
    yield directory
    end_all_in(directory)


@pytest.mark.timeout(900)
@pytest.mark.needs("git")
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_work_in_the_order_of_the_page(page: str, checkout: Path) -> None:
    for block in of_kind(RUN):
        if block.page == page:
            done = run_script(block.text, checkout, BLOCK_SECONDS)
            assert done.returncode == 0, f"{block.place} ended with {done.returncode}:\n{block.text}\n{done.stdout}"
    assert not wait_until_alone(checkout, LEAVING_SECONDS), "processes outlived what started them"


def options_of(line: str) -> tuple[str, list[str]]:
    """The command up to its first option, and its options."""
    words = line.split()
    options = [word.split("=")[0] for word in words if word.startswith("--")]
    return " ".join(words[:2]), options


@pytest.mark.needs("git")
def test_commands_that_are_not_run_name_only_options_that_exist(checkout: Path) -> None:
    for block in of_kind(SYNTAX):
        for line in filter(None, map(str.strip, block.text.splitlines())):
            if re.match(r"(\.venv/bin/python )?(admin|push_tasks)\.py", line):
                command, options = options_of(re.sub(r"^(\.venv/bin/python )?", "", line))
                done = run_script(f".venv/bin/python {command} --help", checkout, 60)
                assert done.returncode == 0, f"{block.place}: {command} --help: {done.stdout}"
                missing = [option for option in options if option not in done.stdout]
                assert not missing, f"{block.place}: {command} has no {', '.join(missing)}"
