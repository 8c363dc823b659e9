"""The published schema says of a file what our own reading says; every example in the documentation is good."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from boss.intake import describe, epanet, fields, rules
from boss.intake.errors import InputRejectedError
from boss.intake.reader import read_file
from wire.messages import EpanetRun
from worker.epanet import specification

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "boss/intake/tasks.schema.json").read_text())
SCHEMA_VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

EXAMPLES = re.findall(
    r"^```json tasks\n(.*?)^```$", (ROOT / "docs/task-files.md").read_text(), re.MULTILINE | re.DOTALL
)


def reads(path: Path, content: object) -> str:
    """Our own verdict: the rejections, or nothing."""
    path.write_text(json.dumps(content))
    try:
        read_file(path)
    except InputRejectedError as errors:
        return str(errors)
    return ""


def test_the_schema_is_a_schema():
    meta = jsonschema.Draft202012Validator(jsonschema.Draft202012Validator.META_SCHEMA)
    assert list(meta.iter_errors(SCHEMA)) == []


def test_there_are_examples_in_the_documentation():
    assert len(EXAMPLES) >= 6


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_of_the_documentation_are_good(tmp_path, text):
    content = json.loads(text)
    SCHEMA_VALIDATOR.validate(content)
    assert reads(tmp_path / "tasks.json", content) == ""


def test_the_examples_of_the_checkout_are_good():
    examples = list(ROOT.glob("examples/**/tasks*.json"))
    assert examples
    for path in examples:
        assert list(SCHEMA_VALIDATOR.iter_errors(json.loads(path.read_text()))) == []
        assert read_file(path).tasks > 0


def test_schema_and_reading_know_the_same_fields():
    definitions = SCHEMA["$defs"]
    assert list(definitions["task"]["properties"]) == list(describe.OWN.fields)
    assert set(definitions["defaults"]["properties"]) == set(describe.DEFAULT_FIELDS)
    assert set(definitions["databaseTask"]["properties"]) == set(describe.DATABASE.fields)
    run = definitions["epanet"]["properties"]
    assert set(run["options"]["properties"]) == set(epanet.OPTIONS)
    for section, variables in epanet.VARIABLES.items():
        assert run["output"]["properties"][section]["properties"]["variables"]["items"]["enum"] == list(variables)
    assert definitions["expect"]["anyOf"][1]["pattern"] == fields.DURATION


def test_the_documentation_names_every_field():
    text = (ROOT / "docs/task-files.md").read_text()
    assert [name for name in describe.OWN.fields if f"`{name}`" not in text] == []
    assert [name for name in describe.DATABASE.fields if f"`{name}`" not in text] == []
    names = [name for variables in epanet.VARIABLES.values() for name in variables]
    assert [name for name in (*names, *epanet.OPTIONS) if f"`{name}`" not in text] == []


def test_every_definition_of_the_schema_is_described_for_editors():
    fields = [SCHEMA["$defs"][name] for name in describe.OWN.fields]
    assert all("description" in field for field in fields)


# One task with one or two fields of many kinds, right and wrong. Left out is what no schema can say:
# clashes between elements and bounds of times that are written as texts.

PATHS = st.sampled_from(
    [
        "a",
        "a/b",
        "./a//b/",
        ".hidden",
        "a b",
        "ü",
        "..a",
        "a/..b",
        "",
        "/a",
        "..",
        "a/../b",
        ".",
        "./",
        "a\tb",
        ".ecloud/x",
        "./.ecloud",
        "x/.ecloud",
    ]
)
WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.just([]),
    st.just({}),
    st.just("x"),
    st.just([[]]),
    st.just({"x": 1}),
)
ITEMS = st.one_of(PATHS, st.lists(PATHS, min_size=1, max_size=3), WRONG)
TEXTS = st.sampled_from(["", "x", "a b", "a=b", "a\0b", "a\x7f", "é" * 300])
TIMES = st.one_of(
    st.sampled_from([0, 1, -1, 0.5, 4e8, "5m", "1h30m", "90s", "2.5d", "", "5", "5 m", "m", "1m1h", "-5s", "5M"]), WRONG
)
MEMORY = st.one_of(
    st.sampled_from([1, 0, 2.0, 2.5, 1 << 60, "2GB", "1.5 GiB", "2G", "512kB", "2 gb", "GB", "2  GB", "10B"]), WRONG
)
COMMANDS = st.one_of(TEXTS, st.lists(st.one_of(TEXTS, WRONG), max_size=2), WRONG)
FIELDS: dict[str, st.SearchStrategy[object]] = {
    "commands": st.one_of(TEXTS, st.lists(COMMANDS, max_size=3), WRONG),
    "dependencies": st.one_of(st.lists(st.one_of(TEXTS, WRONG), max_size=2), WRONG),
    "requirements": st.one_of(st.lists(ITEMS, max_size=1), WRONG),
    "results": st.one_of(st.lists(ITEMS, max_size=1), WRONG),
    "env": st.one_of(st.dictionaries(TEXTS, st.one_of(TEXTS, WRONG), max_size=2), WRONG),
    "timeout": TIMES,
    "retries": st.one_of(st.sampled_from([0, 5, 1000, 1001, -1, 2.0, 2.5, "5"]), WRONG),
    "retry_on": st.one_of(st.lists(st.sampled_from([0, 1, 255, 256, -9, -65, "1", 2.0, True]), max_size=2), WRONG),
    "retry_delay": TIMES,
    "priority": st.one_of(st.sampled_from([10**6, -(10**6) - 1, 1.5]), WRONG),
    "resources": st.one_of(
        st.dictionaries(st.sampled_from(["slots", "slot"]), st.sampled_from([1, 0, 4097, "1"])),
        st.fixed_dictionaries({"memory": MEMORY}),
        WRONG,
    ),
    "pool": st.one_of(TEXTS, WRONG),
    "labels": st.one_of(st.dictionaries(TEXTS, st.one_of(TEXTS, WRONG), max_size=2), WRONG),
    "init": WRONG,
    "overwrite_result": WRONG,
    "expect": TIMES,
    "epanet": WRONG,
    "comands": TEXTS,
}
DEFAULTS = {name: FIELDS[name] for name in ("timeout", "env", "retries", "init")} | {"id": st.just("x")}
DEFAULTS["epanet"] = st.sampled_from([{"inp": "a"}, {}, {"rows": [0, 5]}, {"inp": 5}, {"row": 5}, 5])
NAMES = st.one_of(st.lists(st.sampled_from(["pressure", "flow", "head", "x", "", 5]), max_size=2), WRONG)
SECTION = st.fixed_dictionaries({}, optional={"variables": NAMES, "elements": NAMES, "x": WRONG})
RUNS = st.fixed_dictionaries(
    {"inp": st.one_of(PATHS, WRONG)},
    optional={
        "scenarios": st.one_of(PATHS, st.lists(st.dictionaries(TEXTS, WRONG, max_size=2), max_size=2), WRONG),
        "rows": st.sampled_from([[0, 5], [0], [-1, 5], ["0", 5], None, "0:5", [0, 5, 6]]),
        "output": st.one_of(
            st.fixed_dictionaries({}, optional={"nodes": SECTION, "links": SECTION, "directory": WRONG, "x": WRONG}),
            WRONG,
        ),
        "options": st.one_of(st.dictionaries(st.sampled_from(["duration", "strict", "x"]), WRONG), WRONG),
    },
)


@st.composite
def own_tasks(draw: st.DrawFn) -> dict[str, object]:
    chosen = draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=2, unique=True))
    task: dict[str, object] = {
        "id": draw(st.one_of(st.sampled_from(["id", "", "a\nb", "i" * 256]), WRONG)),
        "commands": "true",
    }
    if draw(st.integers(0, 9)) == 0:
        del task[draw(st.sampled_from(["id", "commands"]))]
    task |= {name: draw(FIELDS[name]) for name in chosen}
    assume(not depends_on_itself(task))
    return task


def depends_on_itself(task: dict[str, object]) -> bool:
    """Which no schema can say."""
    needed = task.get("dependencies")
    return isinstance(needed, list) and task.get("id") in needed


def agree(path: Path, content: object) -> None:
    rejected = reads(path, content)
    assert SCHEMA_VALIDATOR.is_valid(content) == (rejected == ""), (content, rejected)


COMMON = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@COMMON
@given(own_tasks())
@example({"id": "x", "commands": [["a\0b"]]})
@example({"id": "x", "commands": [[3, "a"]]})
def test_schema_and_reading_agree_on_tasks(tmp_path, task):
    agree(tmp_path / "tasks.json", [task])


def clashes(run: dict[str, object]) -> bool:
    """The network would lie in the table or the table in the network: two fields together, which no schema can say."""
    inp, table = (f"{rules.shortest(path)}/" for path in (run["inp"], run.get("scenarios")) if isinstance(path, str))
    return inp != table and (inp.startswith(table) or table.startswith(inp))


def names_both(run: dict[str, object]) -> bool:
    return isinstance(run["inp"], str) and isinstance(run.get("scenarios"), str)


SINGLE_RUNS = RUNS.filter(lambda run: not names_both(run) or not clashes(run))


@COMMON
@given(st.fixed_dictionaries({"id": st.just("id"), "epanet": SINGLE_RUNS, "results": st.just([])}))
def test_schema_and_reading_agree_on_runs(tmp_path, task):
    agree(tmp_path / "tasks.json", [task])


@COMMON
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "tasks": st.one_of(st.lists(own_tasks(), max_size=1), st.just([{"id": "e", "epanet": {}}]), WRONG),
            "name": st.one_of(TEXTS, WRONG),
            "$schema": st.just("x"),
            "title": st.just("x"),
            "defaults": st.one_of(st.fixed_dictionaries({}, optional=DEFAULTS), WRONG),
        },
    )
)
def test_schema_and_reading_agree_on_objects(tmp_path, content):
    agree(tmp_path / "tasks.json", content)


@COMMON
@given(
    st.fixed_dictionaries(
        {"key": st.one_of(TEXTS, WRONG), "cmd": st.one_of(TEXTS, st.lists(st.one_of(TEXTS, WRONG), max_size=2), WRONG)},
        optional={
            "results": FIELDS["results"],
            "requires": FIELDS["requirements"],
            "depends-on": st.one_of(st.lists(st.sampled_from(["b", "", 5]), max_size=2), WRONG),
            "timeout": TIMES,
        },
    )
)
def test_schema_and_reading_agree_on_the_database_era(tmp_path, task):
    agree(tmp_path / "tasks.json", [task])


def test_the_rule_for_a_run_s_files_is_the_runner_s_own():
    """Intake may not import the worker, so it has the rule once more; here they are held together."""
    for output in (
        {},
        {"directory": "out"},
        {"nodes": {"variables": ["head", "pressure", "head"]}},
        {"links": {"elements": ["1"], "variables": ["flow"]}, "nodes": {"variables": ["quality"]}, "directory": "a/b"},
    ):
        run = EpanetRun(inp="x.inp", output=output)
        parsed = specification.parse_output(output)
        tables = [f"{variable}.parquet" for variable in parsed.nodes.variables + parsed.links.variables]
        folder = f"{parsed.directory}/" if parsed.directory else ""
        assert epanet.result_names(run) == [f"{folder}{name}" for name in (specification.RUNS_FILE, *tables)]
    assert set(epanet.OPTIONS) == set(specification._OPTIONS)
    known = {section: tuple(variables) for section, variables in specification._SECTIONS.items()}
    assert {name: set(variables) for name, variables in epanet.VARIABLES.items()} == {
        n: set(v) for n, v in known.items()
    }
