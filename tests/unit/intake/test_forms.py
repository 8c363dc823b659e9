"""Task files of every form become the submission that their words mean."""

from __future__ import annotations

import json
from array import array
from pathlib import Path

import msgspec
import pytest

from boss.core.model import Submission
from boss.intake.errors import InputRejectedError
from boss.intake.finish import leave_to_project
from boss.intake.reader import PushOptions, TaskFile, check, read_file
from tests.worlds.digests import digest
from tests.worlds.submissions import dependencies, inputs, submit
from wire.messages import Execution, Input

MQTT_ERA = r"""
[
  {"id": "5", "commands": [], "results": [], "init": true},
  {"id": "0", "commands": "echo this must not run", "results": [], "requirements": ["no-such-file"]},
  {"id": "1", "commands": "echo this must not run either", "results": [], "dependencies": ["0"]},
  {"id": "2", "commands": ["printf 'exit 1\\n' > failing.sh", "sh failing.sh"], "results": []},
  {"id": "4", "commands": ["sleep 3", "mv dependency result"], "results": [["result", "TEST_SUCCEEDED"]],
   "dependencies": ["3"], "requirements": [["intermediate-result", "dependency"]]},
  {"id": "3", "commands": ["echo 3.42 > intermediate-result"], "results": ["intermediate-result"],
   "overwrite_result": true}
]
"""

DATABASE_ERA = """
[
  {"key": "0", "cmd": "echo this must not run", "results": [], "requires": ["no-such-file"]},
  {"key": "2", "cmd": ["echo on-stderr >&2", "exit 1"], "results": []},
  {"key": "4", "cmd": ["sleep 3", "mv dependency result"], "results": [["result", "TEST_SUCCEEDED"]],
   "depends-on": ["3"], "requires": [["intermediate-result", "dependency"]]},
  {"key": "3", "cmd": ["echo 3.42 > intermediate-result"], "results": ["intermediate-result"]}
]
"""


def read(folder: Path, content: object, options: PushOptions | None = None) -> TaskFile:
    path = folder / "tasks.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_file(path, options or PushOptions())


def load(folder: Path, content: object, options: PushOptions | None = None) -> Submission:
    return submit(read(folder, content, options))


def execution(submission: Submission, id: str) -> Execution:
    return msgspec.json.decode(submission.executions[submission.ids.index(id)], type=Execution)


def profile(submission: Submission, id: str):
    return submission.profiles[array("I", submission.profile_of)[submission.ids.index(id)]]


def test_a_file_of_the_mqtt_era_keeps_its_meaning(tmp_path):
    submission = load(tmp_path, MQTT_ERA)
    assert submission.ids == ["0", "1", "2", "4", "3"]
    assert submission.inits == []  # the empty init task has nothing to do
    assert execution(submission, "0").commands == ["echo this must not run"]
    assert execution(submission, "4").commands == ["sleep 3", "mv dependency result"]
    assert dependencies(submission, "4") == {"3"} and dependencies(submission, "1") == {"0"}
    assert [(item.name, item.path) for item in inputs(submission, "4")] == [("intermediate-result", "dependency")]
    (result,) = execution(submission, "4").results
    assert (result.source, result.target) == ("result", "TEST_SUCCEEDED")
    assert submission.external_names == [(0, "no-such-file")]
    assert sorted(submission.results) == [("TEST_SUCCEEDED", 3), ("intermediate-result", 4)]
    assert profile(submission, "0").staging and not profile(submission, "2").staging


def test_a_file_of_the_database_era_runs_each_list_in_one_shell(tmp_path):
    submission = load(tmp_path, DATABASE_ERA)
    assert execution(submission, "2").commands == ["echo on-stderr >&2 && exit 1"]
    assert execution(submission, "4").commands == ["sleep 3 && mv dependency result"]
    assert dependencies(submission, "4") == {"3"}
    assert submission.external_names == [(0, "no-such-file")]


def test_defaults_are_merged_and_a_task_overrides_them(tmp_path):
    submission = load(
        tmp_path,
        {
            "name": "study",
            "defaults": {
                "timeout": "5m",
                "env": {"A": "1", "B": "1"},
                "retries": 3,
                "resources": {"slots": 2, "memory": "1GB"},
            },
            "tasks": [
                {"id": "a", "commands": "true"},
                {"id": "b", "commands": [], "timeout": None, "env": {"B": "2"}, "resources": {"slots": 1}},
            ],
        },
    )
    assert submission.name == "study"
    assert execution(submission, "a") == Execution(
        commands=["true"], timeout=300.0, env={"A": "1", "B": "1"}, slots=2, memory=10**9
    )
    assert execution(submission, "b") == Execution(env={"A": "1", "B": "2"}, memory=10**9)
    assert profile(submission, "a").retries == 3
    assert (profile(submission, "a").slots, profile(submission, "a").memory) == (2, 10**9)


def test_every_field_arrives_where_it_belongs(tmp_path):
    task = {
        "id": "ünïcode 名前 🙂",
        "commands": [["echo", "a b"], "echo $X"],
        "env": {"X": "y"},
        "timeout": "1h30m",
        "retries": 4,
        "retry_on": [75, -9],
        "retry_delay": "2s",
        "priority": -3,
        "resources": {"slots": 2, "memory": "2GiB"},
        "pool": "big",
        "labels": {"zone": "a"},
        "overwrite_result": False,
        "expect": "40s",
        "results": ["./out//x"],
    }
    submission = load(tmp_path, [task])
    run, hints = execution(submission, task["id"]), profile(submission, task["id"])
    assert run.commands == [["echo", "a b"], "echo $X"] and run.timeout == 5400 and run.memory == 2 << 30
    assert (hints.retries, hints.retry_on, hints.retry_delay, hints.priority) == (4, (75, -9), 2.0, -3)
    assert (hints.pool, hints.labels, hints.overwrite_result, hints.expect) == ("big", {"zone": "a"}, False, 40.0)
    assert submission.results == [("out/x", 0)]


def test_a_required_result_makes_its_task_a_dependency(tmp_path):
    (tmp_path / "made").write_text("an older one, not meant")
    submission = load(
        tmp_path,
        [
            {"id": "use", "commands": [], "requirements": ["made"]},
            {"id": "both", "commands": [], "requirements": ["made"], "dependencies": ["make"]},
            {"id": "make", "commands": [], "results": ["made"]},
        ],
    )
    assert dependencies(submission, "use") == {"make"} == dependencies(submission, "both")
    assert inputs(submission, "use")[0].digest == ""
    assert submission.external_names == [] and submission.files == []


def test_a_task_that_renews_a_file_gets_the_one_from_before(tmp_path):
    (tmp_path / "state").write_text("1")
    submission = load(
        tmp_path,
        [
            {"id": "renew", "commands": [], "requirements": ["state"], "results": ["state"]},
            {"id": "use", "commands": [], "requirements": ["state"]},
        ],
    )
    assert dependencies(submission, "renew") == set() and inputs(submission, "renew")[0].digest
    assert dependencies(submission, "use") == {"renew"} and inputs(submission, "use")[0].digest == ""
    assert [file.name for file in submission.files] == ["state"]


def test_files_beside_the_task_file_are_found_and_bound_by_digest(tmp_path):
    (tmp_path / "my files").mkdir()
    script = tmp_path / "my files" / "it's.sh"
    script.write_bytes(b"true\n")
    script.chmod(0o755)
    task_file = read(tmp_path, [{"id": "a", "commands": [], "requirements": [["my files/it's.sh", "run.sh"]]}])
    wanted = digest(b"true\n")
    assert [(file.path, file.sent.digest, file.sent.size) for file in task_file.files] == [(script, wanted, 5)]
    (item,) = inputs(submit(task_file), "a")
    assert item == Input(name="my files/it's.sh", path="run.sh", digest=wanted, size=5, executable=True)


def test_the_project_s_own_results_come_before_sent_files(tmp_path):
    (tmp_path / "table").write_text("1")
    submission = load(tmp_path, [{"id": "a", "commands": [], "requirements": ["table", "other"]}])
    leave_to_project(submission, {"table"})
    assert submission.files == [] and (0, "table") in submission.external_names
    assert [item.digest for item in inputs(submission, "a")] == ["", ""]


def test_a_name_that_is_nowhere_is_a_warning(tmp_path):
    (warning,) = check(_written(tmp_path, [{"id": "a", "commands": [], "requirements": ["nowhere"]}])).warnings
    assert "`nowhere`" in warning and 'task "a"' in warning


def _written(folder: Path, content: object) -> Path:
    path = folder / "tasks.json"
    path.write_text(json.dumps(content))
    return path


def test_a_dependency_that_is_not_in_the_file_is_left_to_the_boss_and_reported_by_check(tmp_path):
    path = _written(
        tmp_path, [{"id": "a", "commands": [], "dependencies": ["prepar"]}, {"id": "prepare", "commands": []}]
    )
    task_file = check(path)
    assert task_file.external == [("a", "prepar")] and submit(task_file).external == [(0, "prepar")]
    (warning,) = task_file.warnings
    assert '"prepar"' in warning and "earlier push" in warning and "`prepare`" in warning


def test_init_tasks_are_kept_apart_in_file_order(tmp_path):
    (tmp_path / "tool").write_text("x")
    submission = load(
        tmp_path,
        {
            "defaults": {"retries": 2, "timeout": 9},
            "tasks": [
                {"id": "i2", "commands": "two", "init": True, "requirements": ["tool"]},
                {"id": "a", "commands": []},
                {"id": "i1", "commands": "one", "init": True},
            ],
        },
    )
    assert submission.ids == ["a"] and [init.id for init in submission.inits] == ["i2", "i1"]
    assert [file.name for file in submission.files] == ["tool"]
    assert msgspec.json.decode(submission.inits[1].execution, type=Execution).timeout == 9


def test_an_epanet_task_knows_its_files(tmp_path):
    (tmp_path / "Net3.inp").write_text("[TITLE]")
    submission = load(
        tmp_path,
        {
            "defaults": {"epanet": {"inp": "Net3.inp"}},
            "tasks": [
                {"id": "table", "commands": "make", "results": ["s.csv"]},
                {"id": "runs/0", "epanet": {"scenarios": "s.csv", "rows": [0, 50]}},
                {
                    "id": "own",
                    "epanet": {"output": {"links": {"variables": ["flow"]}, "directory": "out/"}},
                    "requirements": [["other.inp", "Net3.inp"]],
                },
                {"id": "none", "epanet": {}, "results": []},
            ],
        },
    )
    assert dependencies(submission, "runs/0") == {"table"}
    assert [item.name for item in inputs(submission, "runs/0")] == ["Net3.inp", "s.csv"]
    assert execution(submission, "runs/0").epanet.rows == (0, 50)
    targets = {item.source: item.target for item in execution(submission, "runs/0").results}
    assert targets == {"runs.parquet": "runs/0/runs.parquet", "pressure.parquet": "runs/0/pressure.parquet"}
    targets = {item.source: item.target for item in execution(submission, "own").results}
    assert targets == {"out/runs.parquet": "own/out/runs.parquet", "out/flow.parquet": "own/out/flow.parquet"}
    assert [item.name for item in inputs(submission, "own")] == ["other.inp"]
    assert execution(submission, "none").results == [] and submission.ids[0] == "table"


def test_skip_existing_is_for_tasks_with_results(tmp_path):
    tasks = [{"id": "a", "commands": [], "results": ["x"]}, {"id": "b", "commands": []}]
    submission = load(tmp_path, tasks, PushOptions(skip_existing=True))
    assert not profile(submission, "a").overwrite_result and profile(submission, "b").overwrite_result


def test_a_file_of_no_tasks_is_in_order_and_says_so(tmp_path):
    for content in ("[]", '{"tasks": []}'):
        task_file = read(tmp_path, content)
        assert task_file.tasks == 0 and "nothing to do" in task_file.warnings[0]
        assert submit(task_file).ids == []


def test_content_is_the_same_in_any_spelling_and_another_when_anything_changes(tmp_path):
    (tmp_path / "in").write_text("1")
    task = {"id": "a", "commands": "true", "env": {"A": "1", "B": "2"}, "dependencies": ["x", "y"]}
    task |= {"requirements": ["in"], "timeout": "1m"}
    (content,) = load(tmp_path, [task]).contents
    assert len(content) == 16
    same = {"timeout": 60, "dependencies": ["y", "x"], "env": {"B": "2", "A": "1"}, "requirements": [["in", "./in"]]}
    assert load(tmp_path, {"tasks": [same | {"id": "other", "commands": ["true"]}]}).contents == [content]
    for change in ({"timeout": 61}, {"priority": 1}, {"commands": []}, {"dependencies": []}, {"env": {}}):
        assert load(tmp_path, [task | change]).contents != [content]
    (tmp_path / "in").write_text("2")
    assert load(tmp_path, [task]).contents != [content]


def test_equal_parts_are_shared(tmp_path):
    tasks = [{"id": str(number), "commands": "true", "requirements": ["x"], "retries": 1} for number in range(50)]
    submission = load(tmp_path, tasks)
    assert len({id(part) for part in submission.executions}) == 1 == len(submission.profiles)
    assert len({id(part) for part in submission.requirements}) == 1


def test_shared_results_are_refused_with_both_ids_or_allowed_with_a_warning(tmp_path):
    tasks = [{"id": "a", "commands": [], "results": ["x"]}, {"id": "b", "commands": [], "results": [["y", "x"]]}]
    with pytest.raises(InputRejectedError, match=r'task "b", results: `x` is also a result of task "a"'):
        load(tmp_path, tasks)
    submission = load(tmp_path, tasks, PushOptions(allow_shared_results=True))
    assert '"a"' in submission.warnings[0] and '"b"' in submission.warnings[0]
    assert submission.results == [("x", 0), ("x", 1)]
