"""README and docs say what the code says: marked commands, made pages, words, links."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import ModuleType, UnionType
from typing import get_args

import pytest

from boss.cli import app as former
from boss.configuration.pools import POOL_SETTINGS
from boss.core.model import Ended, InstanceState, NicState, Phase, TaskState, WorkerState
from datastore.agent.state import PublishStep, Step
from settings import SETTINGS
from tests.worlds.doc_blocks import KINDS, SYNTAX, TEST_COMMAND, TOP, all_blocks, blocks_in, pages
from wire.messages import DatastoreOrder, DatastoreReport, WorkerOrder, WorkerReport
from worker.agent.state import PHASES

DOCS = TOP / "docs"
#: Blocks of commands that nothing runs, by page and first line, each with its reason. Keep it short.
SYNTAX_ONLY: dict[str, str] = {
    "docs/operating.md: admin.py login datastore --write files/store": "wants a running boss; test_several_machines",
    "docs/operating.md: useradd --system --create-home --home-dir /var/lib/ecloud \\": "makes a user",
    "docs/operating.md: systemctl daemon-reload": "wants systemd as process 1; test_templates verifies the units",
    "docs/operating.md: set -a; . /etc/ecloud/worker.env; set +a": "does not end; test_several_machines does the same",
    "docs/operating.md: admin.py instantiate_worker 3 --keep-alive --pool cloud": "wants a cloud; test_pools does it",
    "docs/operating.md: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub": "wants sshd; test_static_provider does",
    "docs/operating.md: admin.py debug_worker w1": "wants a worker elsewhere; test_several_machines",
}
FIRST_SCREEN_LINES = 45
COMMAND_LIKE = re.compile(r"^(?: {4,}|\t)\s*(?:\$ |\./|sudo |apt-get |pip |python3? |\.venv/|make )", re.MULTILINE)


@pytest.fixture(scope="module")
def make_docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_docs", TOP / "scripts" / "make_docs.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["settings.md", "states.md"])
def test_a_page_that_is_made_from_the_code_is_up_to_date(make_docs: ModuleType, name: str) -> None:
    assert (DOCS / name).read_text() == make_docs.PAGES[name](), f"docs/{name} is stale: run `make docs`"


def test_every_setting_is_documented() -> None:
    page = (DOCS / "settings.md").read_text()
    missing = [setting.name for setting in SETTINGS if f"| `{setting.name}` |" not in page]
    assert not missing


def words_under(heading: str) -> list[str]:
    """The first column of the table under this heading of the glossary."""
    section = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", (DOCS / "glossary.md").read_text(), re.M | re.S)
    assert section, f"docs/glossary.md has no heading {heading!r}"
    cells = re.findall(r"^\| ([^|]+?) \|", section[1], re.M)
    return [cell for cell in cells[1:] if cell != "---"]


def tags(messages: UnionType) -> list[str]:
    """What stands on the wire for each of them."""
    return [each.__struct_config__.tag for each in get_args(messages)]


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("Task states", TaskState),
        ("Phases of an attempt", Phase),
        ("Ends of an attempt", Ended),
        ("Worker states", WorkerState),
        ("Instance states", InstanceState),
        ("Network interface states", NicState),
        ("Phases of an attempt on its worker", PHASES),
        ("Steps of a collection", Step),
        ("Steps of a batch that is published", PublishStep),
        ("Orders to a worker", tags(WorkerOrder)),
        ("Reports of a worker", tags(WorkerReport)),
        ("Orders to the datastore", tags(DatastoreOrder)),
        ("Reports of the datastore", tags(DatastoreReport)),
    ],
)
def test_the_glossary_has_the_words_of_the_code_in_its_order(heading: str, words: Iterable[object]) -> None:
    wanted = [word.name.lower() if isinstance(word, TaskState) else str(word) for word in words]
    assert words_under(heading) == wanted


def test_every_table_of_legal_moves_is_drawn(make_docs: ModuleType) -> None:
    modules = [import_module(f"{package}.legal") for package in ("boss.core", "worker.agent", "datastore.agent")]
    tables = [(module.__name__, name) for module in modules for name in vars(module) if name.endswith("_MOVES")]
    assert [(machine.module.__name__, machine.name) for machine in make_docs.MACHINES] == tables
    assert all(machine.prose() for machine in make_docs.MACHINES)


def test_the_former_names_that_work_are_listed() -> None:
    settings = {name: (each.name, "setting") for each in SETTINGS for name in each.formerly}
    of_pools = {name: (each.name, "setting of a pool") for each in POOL_SETTINGS for name in each.formerly}
    commands = {name: (present, "command of `admin.py`") for name, present in former.COMMANDS.items()}
    options = {
        name: (present, "option of `push_tasks.py`" if command == "push_tasks" else f"option of `admin.py {command}`")
        for command, names in former.OPTIONS.items()
        for name, present in names.items()
    }
    page = (DOCS / "compatibility.md").read_text().partition("## Former names")[2].partition("\n## ")[0]
    listed = {
        name: (present, what) for name, present, what in re.findall(r"^\| `(.+)` \| `(.+)` \| (.+) \|$", page, re.M)
    }
    assert listed == settings | of_pools | commands | options


def test_every_block_of_commands_says_how_it_is_tested() -> None:
    faults = [
        f"{block.place}: the info string must be `{block.language} <kind>` with one of {', '.join(KINDS)}"
        for block in all_blocks()
        if block.is_commands and block.kind not in KINDS
    ]
    assert not faults, "\n".join(faults)


def test_every_block_names_its_language() -> None:
    faults = [block.place for block in all_blocks() if not block.language]
    assert not faults, f"blocks without a language (say `text` if it is none): {faults}"


def test_commands_do_not_hide_in_indented_blocks() -> None:
    for page in pages():
        outside = page.read_text()
        for block in blocks_in(outside, page.name):
            outside = outside.replace(block.text, "")
        found = COMMAND_LIKE.search(outside)
        assert not found, f"{page.name}: put this command into a marked block: {found[0] if found else ''}"


def test_what_is_only_checked_for_syntax_is_counted_and_listed() -> None:
    places = {f"{block.page}: {block.text.splitlines()[0]}" for block in all_blocks() if block.kind == SYNTAX}
    assert places == set(SYNTAX_ONLY)


def test_the_test_command_is_the_one_exception() -> None:
    texts = {block.text for block in all_blocks() if block.kind == TEST_COMMAND}
    assert texts == {"./run_tests.sh\n"}


def test_the_readme_opens_with_what_one_needs() -> None:
    readme = (TOP / "README.md").read_text()
    first_screen = "\n".join(readme.splitlines()[: FIRST_SCREEN_LINES - 1])
    for needed in ("./run_example.sh", "./run_tests.sh", "What it is not"):
        assert needed in first_screen, f"README's first {FIRST_SCREEN_LINES - 1} lines must hold {needed!r}"
    shown = readme.index("```sh run")
    assert readme.index("./run_example.sh") < readme.index("./run_tests.sh") and shown < readme.index("## ")


def links_of(page: Path) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)#\s]+)", page.read_text()) if not re.match(r"[a-z]+:", link)]


def test_links_between_pages_lead_somewhere() -> None:
    broken = [f"{page.relative_to(TOP)}: {link}" for page in pages() for link in links_of(page)
              if not (page.parent / link).exists()]  # fmt: skip
    assert not broken, "\n".join(broken)


def test_no_page_names_a_path_of_a_developers_machine() -> None:
    named = [str(page.relative_to(TOP)) for page in pages() if re.search(r"/work/|/root/", page.read_text())]
    assert not named


def test_decisions_have_a_number_of_their_own() -> None:
    numbers = [path.name[:4] for path in (DOCS / "decisions").glob("*.md")]
    assert all(number.isdigit() for number in numbers)
    assert len(numbers) == len(set(numbers))


def test_an_unclosed_block_is_reported_with_its_place() -> None:
    with pytest.raises(AssertionError, match=r"x\.md, line 2"):
        blocks_in("text\n```sh run\ntrue\n", "x.md")
