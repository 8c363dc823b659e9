"""push_tasks.py --check: no boss, no state directory, all faults at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import push_tasks
from tests.worlds.waiting import scaled


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def check(content: str, *options: str) -> Result:
    Path("tasks.json").write_text(content)
    return CliRunner().invoke(push_tasks.app, ["--check", "tasks.json", *options])


def test_a_valid_file_is_reported_as_valid_and_leaves_nothing() -> None:
    Path("net.inp").write_text("x")
    done = check('[{"id": "a", "commands": "true", "requirements": ["net.inp"]}]')
    assert (done.exit_code, done.stdout) == (0, "tasks.json is valid: 1 task; a push sends 1 file along.\n")
    assert sorted(path.name for path in Path().iterdir()) == ["net.inp", "tasks.json"]


def test_all_errors_are_reported_with_their_places() -> None:
    done = check('[{"id": "a", "comands": "true"},\n {"id": "b", "commands": "true", "dependencies": ["b"]}]')
    assert done.exit_code == 2
    assert "tasks.json:1" in done.stderr and "`commands`" in done.stderr
    assert "tasks.json:2" in done.stderr


def test_a_dependency_on_an_earlier_push_is_a_warning() -> None:
    done = check('[{"id": "a", "commands": [], "dependencies": ["earlier"]}]')
    assert done.exit_code == 0
    assert "earlier push" in done.stderr


def test_json_is_for_programs() -> None:
    right = check('[{"id": "a", "commands": []}]', "--json")
    assert json.loads(right.stdout) == {
        "valid": True,
        "tasks": 1,
        "inits": 0,
        "warnings": [],
        "levels": 1,
        "widest_level": 1,
        "critical_path": ["a"],
        "critical_path_seconds": 0.0,
    }
    wrong = check("[{", "--json")
    done = json.loads(wrong.stdout)
    assert (wrong.exit_code, done["valid"], done["exit_code"], len(done["errors"])) == (2, False, 2, 1)


def test_escape_sequences_of_a_file_do_not_reach_the_terminal() -> None:
    done = check('[{"id": "\\u001b[31m", "commands": [], "dependencies": ["\\u001b[2J"]}]')
    assert done.exit_code == 2
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [["none.json"], ["--check", "none.json"], [], ["--merge_strategy", "x", "t"]])
def test_what_cannot_be_ends_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(push_tasks.app, arguments).exit_code == 2


def test_help_has_examples_and_exit_codes() -> None:
    done = CliRunner().invoke(push_tasks.app, ["--help"]).stdout
    assert "push_tasks.py --check tasks.json" in done
    assert "130" in done


@pytest.mark.parametrize("where", ["environment", "settings file"])
def test_a_task_above_max_task_bytes_is_refused_with_its_line_its_id_and_the_limit(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "environment":
        monkeypatch.setenv("ECLOUD_MAX_TASK_BYTES", "4096")
    else:
        Path(".ecloud").mkdir()
        Path(".ecloud/settings.toml").write_text('max_task_bytes = "4KiB"\n')
    tasks = [{"id": "small", "commands": "true"}, {"id": "large", "commands": "true", "env": {"X": "x" * 5000}}]
    refused = check("[" + ",\n".join(map(json.dumps, tasks)) + "]")
    assert refused.exit_code == 2
    assert (
        'tasks.json:2, task "large": its description is longer than 4,096 bytes (the setting max_task_bytes). '
        "Put large data into a file and name it in `requirements`."
    ) in refused.stderr
    monkeypatch.setenv("ECLOUD_MAX_TASK_BYTES", "1MiB")
    assert check(json.dumps(tasks)).exit_code == 0


def test_a_boss_elsewhere_judges_by_its_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECLOUD_BOSS_URL", "http://boss:8080")
    two, five = ([{"id": "large", "commands": ["x" * 100_000] * (10 * size)}] for size in (2, 5))
    assert (check(json.dumps(two)).exit_code, check(json.dumps(five)).exit_code) == (0, 2)


FORK = [
    {"id": "sample", "commands": "true", "expect": "1m"},
    {"id": "short", "commands": "true", "dependencies": ["sample"], "expect": 1},
    {"id": "long", "commands": "true", "dependencies": ["sample"], "expect": "2h"},
    {"id": "sum $x$", "commands": "true", "dependencies": ["short", "long"]},
]


def test_levels_and_the_critical_path_are_shown() -> None:
    assert check(json.dumps(FORK)).stdout.splitlines()[1] == (
        "Its graph has 3 levels, 2 tasks on the widest; "
        "critical path of 3 tasks, 2:01:00 as expected: sample -> long -> sum $x$"
    )
    shown = json.loads(check(json.dumps(FORK), "--json").stdout)
    assert (shown["levels"], shown["widest_level"]) == (3, 2)
    assert (shown["critical_path"], shown["critical_path_seconds"]) == (["sample", "long", "sum $x$"], 7260.0)


def test_a_long_critical_path_is_shown_by_its_ends() -> None:
    chain = [{"id": f"t{n}", "commands": [], "dependencies": [f"t{n - 1}"] if n else []} for n in range(1000)]
    line = check(json.dumps(chain)).stdout.splitlines()[1]
    assert "1,000 levels, 1 task on the widest; critical path of 1,000 tasks: t0 -> t1" in line
    assert line.endswith("t998 -> t999") and len(line) < 200


@pytest.mark.parametrize(("kind", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_the_graph_is_drawn(kind: str, start: bytes) -> None:
    assert check(json.dumps(FORK), "--picture", f"graph.{kind}").exit_code == 0
    assert Path(f"graph.{kind}").read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("tasks", "file", "sentence"),
    [
        (FORK, "graph.gif", "graph.gif: a picture is svg, png or pdf, by the end of its name"),
        (FORK, "absent/graph.svg", "absent/graph.svg cannot be written: No such file or directory"),
        ([{"id": str(n), "commands": []} for n in range(501)], "graph.svg", "501 tasks; a picture shows at most 500"),
    ],
)
def test_a_picture_that_cannot_be_made_is_refused_in_a_sentence(tasks: object, file: str, sentence: str) -> None:
    refused = check(json.dumps(tasks), "--picture", file)
    assert refused.exit_code == 2 and sentence in refused.stderr


def test_an_empty_graph_is_drawn_as_well() -> None:
    assert check("[]", "--picture", "graph.svg").exit_code == 0


def test_a_picture_needs_a_check() -> None:
    Path("tasks.json").write_text(json.dumps(FORK))
    refused = CliRunner().invoke(push_tasks.app, ["tasks.json", "--picture", "graph.svg"])
    assert refused.exit_code == 2 and "--check" in refused.stderr


def test_a_check_imports_no_heavy_package() -> None:
    Path("tasks.json").write_text(json.dumps(list(reversed(FORK))))
    script = (
        "import sys, push_tasks, typer.testing\n"
        "result = typer.testing.CliRunner().invoke(push_tasks.app, ['--check', 'tasks.json'])\n"
        "assert result.exit_code == 0, result.output\n"
        "heavy = {'networkx', 'matplotlib', 'numpy', 'pyarrow', 'sqlalchemy', 'starlette', 'paramiko'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(push_tasks.__file__).parent)}
    ran = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=scaled(60.0)
    )
    assert (ran.returncode, ran.stderr) == (0, "")
