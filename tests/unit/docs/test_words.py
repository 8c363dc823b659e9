"""The field's words: what the code, its sentences and the docs call things, held against words that only we used.

docs/glossary.md explains the words that stay. Identifiers count too: they are taken apart at underscores and capitals.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[3]

#: A word of former days, as it stands in lower-case text -> what the field says.
DIALECT: dict[str, str] = {
    r"told": "reported, notified, sent, configured",
    r"hindrances?|hinder(s|ed)?": "warning, reason",
    r"troubles?|complaints?|complains?": "warning, reason, error",
    r"strangers?|distrust\w*": "unknown, untrusted",
    r"persons?|people|somebody|nobody|anybody": "user, operator, client",
    r"by hand": "manual, manually",
    r"(by|of) itself|by themselves": "automatically",
    r"anew|over again": "again, new, retried",
    r"guests?": "instance bootstrap, machine",
    r"desks?|kits?|tickets?": "login files, start token record",
    r"fleets?": "providers, supply",
    r"greetings?|liking|hungry": "login probe, locality, has free slots",
    r"thrift": "cost_weight",
    r"patience": "timeout",
    r"(put|set|sets|setting) aside": "archived, quarantined",
    r"let in|lets in|letting in|forgiv\w+|absolv\w+": "released",
    r"in hand": "held, in flight",
    r"to be had": "available",
    r"of old|historic\w*": "legacy",
    r"unless told": "default",
    r"is no more|are no more": "removed, terminated",
    r"surroundings|ways|whereabouts": "environment, addresses, location",
    r"cards?": "NIC",
    r"faults? of ours": "internal error",
    r"owes?|owed": "pending",
    r"ill|bears": "broken, warning, tagged",
    r"came of it|makes no more|by a fault of": "outcome, cannot grow, internal error",
    r"if it is right": "to allow it",
    r"[a-z]+ words(?=\()": "format_...",
}
PATTERN = re.compile("|".join(f"(?<![a-z])(?:{word})(?![a-z])" for word in DIALECT))
#: Bounds are called min and max; as plain English both words are fine.
BOUND = re.compile(r"\b\w+_(?:least|most)\b|\b_?(?:least|most)_\w+|(?<!at )\b(?:least|most)(?= ?[=:] )", re.IGNORECASE)
#: Where such a word is right: file or folder -> what may stand in a line there, each with its reason.
RIGHT: dict[str, tuple[str, ...]] = {
    "boss/api": (r"\bhindrances\b", r"a person asked for it", r"GUESTS", r"/guests/"),  # keys and paths of /api/v1 stay
    "boss/bootstrap": (r"GUESTS", r'"guests"', r"worker/guest\.py"),  # the same paths; folders and doors of before
    "boss/core/accept.py": (r'"anew"',),  # a key of the API
    "boss/configuration": (r"\bleast\b", r"\bmost\b", r"thrift"),  # beside the built-in min and max; a former name
    "boss/providers/static/remote.py": (r"guest",),  # files of machines that were started before
    "boss/deploy/templates.py": (r"card=",),  # the name that templates of users call
    "templates/opennebula": (r"card\(",),
    # Names on machines that run, and the path of the API.
    "worker/bootstrap": (r"guest\.json", r"ecloud-guest", r"ECLOUD_GUEST_ROOT", r"/guests\b", r"GUESTS"),
    "worker/guest.py": (r"worker\.guest", r"guest"),  # the door of start scripts of before
    "worker/debug.sh": (r"guest\.json",),
    "wire/http.py": (r"GUESTS", r"/guests"),
    "wire/other_version.py": (r"in_hand", r"hindrance"),  # the former version's keys
    "docs/protocol.md": (r"/guests/", r"in_hand", r"hindrance"),
    "docs/http-api.md": (r"/guests/", r"hindrances"),
    "docs/operating.md": (r"guest\.json", r"\.ecloud/guests"),
    "docs/compatibility.md": (r"thrift",),
    "docs/settings.md": (r"`thrift`", r"thrift"),
    # Tests of the same keys, paths, folders and former names; texts that former versions wrote.
    "tests/acceptance/test_former_agents.py": (r"told to stop by the boss",),
    "tests/acceptance/test_stored_state.py": (r"thrift",),
    "tests/integration/test_bootstrap_machines.py": (r"guest\.json", r"/guests/"),
    "tests/integration/test_former_machines.py": (r"worker\.guest",),
    "tests/integration/test_stored_outputs.py": (r"hindrances",),
    "tests/integration/test_upgrade.py": (r"by hand: ", r"be told from", r"a person asked", r"card="),
    "tests/unit/api": (r'\["hindrances"\]',),
    "tests/unit/bootstrap": (r"/guests/", r'"guests"', r'"guest\.py"'),
    "tests/unit/cli": (r"hindrances=",),
    "tests/unit/configuration": (r"thrift",),
    "tests/unit/core": (r'\["anew"\]',),
    "tests/worlds": (r"hindrances=", r"guest\.json", r"/guests/"),
    "CHANGELOG.md": (r"`thrift`", r"`hindrances`"),  # former names that users meet
    "scripts/vulture_reasons.py": (r"hindrances",),
}
#: Nothing is right everywhere.
EVERYWHERE: tuple[str, ...] = ()

PLACES = ("boss", "worker", "datastore", "wire", "templates", "docs", "examples", "tests", "benchmarks", "scripts")
FILES = ("settings.py", "admin.py", "push_tasks.py", "ecloud.py", "Makefile", "run_example.sh", "debug.sh")
FILES += ("README.md", "CHANGELOG.md")
ENDINGS = (".py", ".sh", ".md", ".j2", ".html", ".json")
#: What was decided, and what migrated, stays as written.
LEFT_OUT = ("docs/decisions", "boss/database/migrations/versions")
#: Of the tests: what former versions stored, the tests of the bootstrap, and this list.
TESTS_LEFT_OUT = (
    "tests/worlds/stored/",
    "tests/unit/worker/bootstrap",
    "tests/unit/worker/test_bootstrap.py",
    "tests/unit/worker/test_keeper.py",
    "tests/unit/docs/test_words.py",
)


def apart(text: str) -> str:
    """Identifiers as words: SetAside and set_aside become `set aside`."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return text.replace("_", " ").lower()


def files() -> list[Path]:
    found = [path for place in PLACES for path in sorted((TOP / place).rglob("*")) if path.suffix in ENDINGS]
    found += [TOP / name for name in FILES]
    return [path for path in found if not str(path.relative_to(TOP)).startswith(LEFT_OUT + TESTS_LEFT_OUT)]


def dialect(path: Path) -> list[str]:
    """Each line with such a word: place and word."""
    name = str(path.relative_to(TOP))
    right = [*EVERYWHERE, *(each for place, texts in RIGHT.items() if name.startswith(place) for each in texts)]
    left_out = re.compile("|".join(right) or r"(?!)")
    found = []
    for number, whole in enumerate(path.read_text().splitlines(), 1):
        line = left_out.sub("", whole)
        matches = [*PATTERN.finditer(apart(line)), *(BOUND.finditer(line) if path.suffix == ".py" else ())]
        found += [f"{name}:{number}: {match[0]}: {whole.strip()[:100]}" for match in matches]
    return found


def test_code_and_docs_use_the_words_of_the_field() -> None:
    found = [line for path in files() for line in dialect(path)]
    assert not found, "\n".join([f"{len(found)} lines", *found[:50]])


def test_every_exception_is_still_needed() -> None:
    texts = {str(path.relative_to(TOP)): path.read_text() for path in files()}
    unused = [
        f"{place}: {text}"
        for place, allowed in RIGHT.items()
        for text in allowed
        if not any(re.search(text, content) for name, content in texts.items() if name.startswith(place))
    ]
    assert not unused


@pytest.mark.parametrize(
    "line", ["def set_aside(", "class GuestDesk:", "it is told", "nobody is there", "def demand_words("]
)
def test_a_word_of_former_days_is_found(line: str) -> None:
    assert PATTERN.search(apart(line))


@pytest.mark.parametrize("line", ["almost", "always", "the boss notifies", "cardinality", "discard"])
def test_other_words_are_not(line: str) -> None:
    assert not PATTERN.search(apart(line))
