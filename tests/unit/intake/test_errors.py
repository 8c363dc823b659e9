"""Bad task files: every rejection is reported, with file, line, task and field, and all of them at once."""

from __future__ import annotations

import json

import pytest

from boss.intake import reader
from boss.intake.errors import InputRejectedError, InputRejection
from boss.intake.reader import PushOptions, read_file


def rejections(folder, content, options: PushOptions | None = None) -> list[InputRejection]:
    path = folder / "tasks.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(InputRejectedError) as caught:
        read_file(path, options or PushOptions())
    assert all(rejection.file == str(path) for rejection in caught.value.rejections)
    assert str(caught.value)
    return caught.value.rejections


def only(folder, content, options: PushOptions | None = None) -> InputRejection:
    found = rejections(folder, content, options)
    assert len(found) == 1, [str(rejection) for rejection in found]
    return found[0]


def task(**fields: object) -> list[dict[str, object]]:
    return [{"id": "a", "commands": "true"} | fields]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[\n {"id": "a",\n  "commands": tru}\n]', 3, "column 16: not JSON"),
        ('[{"id": "a", "commands": []},]', 1, "trailing comma"),
        ('[\n{"id": "a"', 2, "ends too early"),
        ('[{"id": "a", "commands": "x\\q"}]', 1, "invalid escape"),
        ('{"tasks": [\n\n{"id": "a", "commands": "\\ud800"}]}', 3, "not JSON"),
        ("[1 2]", 1, "not JSON"),
        ('[{"id": "a", "commands": "", "timeout": NaN}]', 1, "not JSON"),
        ("[" * 100_000, 1, "nested too deeply"),
        ('[{"id": "a", "commands": ' + "[" * 100_000 + "]" * 100_000 + "}]", 1, "nested too deeply"),
    ],
)
def test_malformed_json_is_reported_with_its_place(tmp_path, text, line, words):
    rejection = only(tmp_path, text)
    assert rejection.line == line and words in rejection.text


def test_what_is_no_text_at_all_is_reported_as_that(tmp_path):
    rejection = only(tmp_path, b'[{"id": "a",\n "commands": "\xff"}]')
    assert (rejection.line, rejection.text) == (2, "column 15: not UTF-8")
    assert "empty" in only(tmp_path, b"  \n").text
    assert "neither" in only(tmp_path, b'"tasks"').text


def test_a_byte_order_mark_does_no_harm(tmp_path):
    (tmp_path / "tasks.json").write_bytes(b'\xef\xbb\xbf[{"id": "a", "commands": []}]')
    assert read_file(tmp_path / "tasks.json").tasks == 1


def test_a_file_that_is_not_there_or_is_a_folder_is_reported(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(InputRejectedError, match="cannot be read"):
            read_file(path)


def test_a_file_above_the_limit_is_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "large.json"
    with open(path, "wb") as file:
        file.truncate(reader.FILE_BYTES + 1)
    with pytest.raises(InputRejectedError, match=r"a task file has at most 1,073,741,824"):
        read_file(path)


def test_a_file_of_100_mb_is_refused_or_read_without_ado(tmp_path):
    path = tmp_path / "large.json"
    path.write_text('[{"id": "a", "commands": "' + "x" * 100_000_000 + '"}]')
    with pytest.raises(InputRejectedError, match="longer than 1,048,576 bytes"):
        read_file(path)


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"comands": "x"}, "comands", "Did you mean `commands`?"),
        ({"cmd": "x"}, "cmd", "it is called `commands`"),
        ({"depends-on": []}, "depends-on", "it is called `dependencies`"),
        ({"commands": 5}, "commands", "is a number"),
        ({"commands": ["a", 5]}, "commands[1]", "is a number"),
        ({"commands": ["a", ["b", None]]}, "commands[1][1]", "is null"),
        ({"commands": [[]]}, "commands[0]", "names no program"),
        ({"commands": "a\0b"}, "commands[0]", "NUL"),
        ({"commands": "x" * 131_072}, "commands[0]", "longer than 131,071 bytes"),
        ({"dependencies": "b"}, "dependencies", 'Write ["b"].'),
        ({"dependencies": ["b", 3]}, "dependencies[1]", 'Write "3" with quotes.'),
        ({"dependencies": ["a"]}, "dependencies", "depends on itself"),
        ({"requirements": ["../x"]}, "requirements[0]", "leaves the tree"),
        ({"requirements": [["x", "/etc/passwd"]]}, "requirements[0]", "absolute path"),
        ({"requirements": [["a", "b", "c"]]}, "requirements[0]", "is a list of 3"),
        ({"requirements": [["x", "w"], ["y", "w"]]}, "requirements", "two of them come to `w`"),
        ({"requirements": [["x", "w"], ["y", "w/z"]]}, "requirements", "both a file and the folder"),
        ({"results": ["x/../../y"]}, "results[0]", "leaves the tree"),
        ({"results": [""]}, "results[0]", "empty path"),
        ({"results": ["./"]}, "results[0]", "empty path"),
        ({"results": ["a\x1b[31mb"]}, "results[0]", "control character"),
        ({"results": [".ecloud/index.sqlite"]}, "results[0]", "keeps for itself"),
        ({"results": ["projects/other/x"]}, "results[0]", "other projects"),
        ({"results": ["x" * 256]}, "results[0]", "too long"),
        ({"results": [["a", "t"], ["b", "t"]]}, "results", "two of them go to `t`"),
        ({"results": {"a": "b"}}, "results", "is an object"),
        ({"env": {"A": 1}}, "env.A", "is a number"),
        ({"env": {"A=B": "1"}}, "env.A=B", "is no name"),
        ({"timeout": 0}, "timeout", "above 0"),
        ({"timeout": -5}, "timeout", "above 0"),
        ({"timeout": "5 minutes"}, "timeout", '"5m"'),
        ({"timeout": True}, "timeout", "is true or false"),
        ({"timeout": "99999999d"}, "timeout", "ten years"),
        ({"retries": -1}, "retries", "from 0 to 1000"),
        ({"retries": 1.5}, "retries", "whole number"),
        ({"retry_on": [0]}, "retry_on", "0 is success"),
        ({"retry_on": 75}, "retry_on", "Write [75]."),
        ({"priority": 10**400}, "priority", "a number from"),
        ({"resources": {"slot": 1}}, "resources.slot", "Did you mean `slots`?"),
        ({"resources": {"slots": 0}}, "resources.slots", "from 1 to"),
        ({"resources": {"memory": "2 gigs"}}, "resources.memory", '"2GiB"'),
        ({"labels": {"": "x"}}, "labels", "empty key"),
        ({"init": "yes"}, "init", "true or false"),
        ({"init": True, "dependencies": ["b"]}, "dependencies", "init task"),
        ({"init": True, "results": ["b"]}, "results", "init task"),
        ({"init": True, "priority": 3}, "priority", "init task"),
        ({"epanet": {"inp": "a.inp"}}, "epanet", "stands beside `commands`"),
    ],
)
def test_a_faulty_field_is_reported_with_its_task(tmp_path, fields, field, words):
    rejection = only(tmp_path, task(**fields))
    assert (rejection.task, rejection.field, rejection.line) == ("a", field, 1)
    assert words in str(rejection)


@pytest.mark.parametrize(
    ("run", "field", "words"),
    [
        ({}, "epanet", "has no `inp`"),
        ({"inp": "a.inp", "scenario": []}, "epanet.scenario", "Did you mean `scenarios`?"),
        ({"inp": "../a.inp"}, "epanet.inp", "leaves the tree"),
        ({"inp": "a.inp", "rows": [5, 5]}, "epanet.rows", "is no range"),
        ({"inp": "a.inp", "rows": "0:5"}, "epanet.rows", "no pair of numbers"),
        ({"inp": "a.inp", "scenarios": [5]}, "epanet.scenarios[0]", "is a number"),
        ({"inp": "a.inp", "scenarios": [{"x": []}]}, "epanet.scenarios[0].x", "is a list or an object"),
        (
            {"inp": "a.inp", "output": {"nodes": {"variables": ["presure"]}}},
            "epanet.output.nodes.variables",
            "Did you mean `pressure`?",
        ),
        ({"inp": "a.inp", "output": {"nodes": {}}}, "epanet.output.nodes.variables", "missing or empty"),
        ({"inp": "a.inp", "options": {"durations": 5}}, "epanet.options.durations", "Did you mean `duration`?"),
    ],
)
def test_a_faulty_run_is_reported(tmp_path, run, field, words):
    found = rejections(tmp_path, [{"id": "a", "epanet": run}])
    assert any(rejection.field == field and words in str(rejection) for rejection in found), [
        str(rejection) for rejection in found
    ]


def test_an_epanet_task_whose_id_is_no_folder_must_say_its_results(tmp_path):
    rejection = only(tmp_path, [{"id": "/x", "epanet": {"inp": "a.inp"}}])
    assert rejection.field == "results" and "Write `results` out" in rejection.hint


@pytest.mark.parametrize(
    ("id", "words"), [("", "is empty"), ("a\tb", "control character"), ("x" * 256, "256 characters")]
)
def test_a_faulty_id_is_reported(tmp_path, id, words):
    assert words in only(tmp_path, [{"id": id, "commands": []}]).text


def test_a_missing_id_is_reported_by_the_task_s_place(tmp_path):
    rejection = only(tmp_path, [{"id": "a", "commands": []}, {"commands": "true"}])
    assert (rejection.position, rejection.field) == (2, "id") and "task number 2" in str(rejection)
    assert '"5" with quotes' in only(tmp_path, [{"id": 5, "commands": []}]).hint


def test_missing_commands_are_reported(tmp_path):
    assert only(tmp_path, [{"id": "a"}]).field == "commands"
    assert only(tmp_path, [{"key": "a", "results": []}]).field == "cmd"


def test_an_id_that_stands_twice_is_reported_at_its_second_place(tmp_path):
    rejection = only(
        tmp_path, '[{"id": "a", "commands": []},\n{"id": "b", "commands": []},\n{"id": "a", "commands": []}]'
    )
    assert (rejection.line, rejection.task, rejection.position) == (3, "a", 3) and "twice" in rejection.text


def test_a_cycle_is_shown_as_the_cycle(tmp_path):
    tasks = [
        {"id": "start", "commands": []},
        {"id": "a", "commands": [], "dependencies": ["start", "c"]},
        {"id": "b", "commands": [], "dependencies": ["a"]},
        {"id": "c", "commands": [], "dependencies": ["b"]},
    ]
    assert "a -> c -> b -> a" in only(tmp_path, tasks).text


def test_a_cycle_through_a_file_names_the_file(tmp_path):
    tasks = [
        {"id": "a", "commands": [], "requirements": ["x"], "results": ["y"]},
        {"id": "b", "commands": [], "dependencies": ["a"], "results": ["x"]},
    ]
    rejection = only(tmp_path, tasks)
    assert "a -> b -> a" in rejection.text and "`x`" in rejection.hint


def test_a_long_cycle_is_shown_by_its_ends(tmp_path):
    tasks = [{"id": str(n), "commands": [], "dependencies": [str((n + 1) % 5000)]} for n in range(5000)]
    text = only(tmp_path, tasks).text
    assert "0 -> 1 -> 2" in text and text.endswith("4999 -> 0") and len(text) < 500


def test_a_result_below_another_task_s_result_is_reported(tmp_path):
    tasks = [{"id": "a", "commands": [], "results": ["x"]}, {"id": "b", "commands": [], "results": ["x/y"]}]
    rejection = only(tmp_path, tasks)
    assert rejection.task == "b" and 'task "a"' in rejection.text


def test_nothing_can_depend_on_an_init_task(tmp_path):
    tasks = [{"id": "i", "commands": "x", "init": True}, {"id": "a", "commands": [], "dependencies": ["i"]}]
    assert "init task" in only(tmp_path, tasks).text
    tasks = [
        {"id": "i", "commands": "x", "init": True, "requirements": ["r"]},
        {"id": "a", "commands": [], "results": ["r"]},
    ]
    assert only(tmp_path, tasks).task == "i"


def test_the_outer_object_is_checked_too(tmp_path):
    assert "Did you mean `defaults`?" in only(tmp_path, {"default": {}, "tasks": []}).hint
    assert only(tmp_path, {"tasks": {}}).text == "is no list"
    assert "list" in rejections(tmp_path, {"id": "a", "commands": []})[-1].hint
    assert only(tmp_path, {"name": 5, "tasks": []}).field == "name"
    assert only(tmp_path, {"defaults": {"timeuot": 5}, "tasks": []}).field == "defaults.timeuot"
    assert only(tmp_path, {"defaults": [], "tasks": []}).field == "defaults"
    assert "project name" in only(tmp_path, "[]", PushOptions(project="../x")).text


def test_a_faulty_default_is_reported_once_and_not_per_task(tmp_path):
    tasks = [{"id": str(number), "commands": []} for number in range(5)]
    for name, value in (("timeout", "soon"), ("timeout", 0), ("retries", -1), ("requirements", ["../x"])):
        assert only(tmp_path, {"defaults": {name: value}, "tasks": tasks}).field.startswith(f"defaults.{name}")
    rejection = only(tmp_path, {"defaults": {"epanet": {"rows": [5, 5]}}, "tasks": tasks})
    assert rejection.field == "defaults.epanet.rows"


def test_database_era_files_are_reported_in_their_own_terms(tmp_path):
    tasks = [{"key": "a", "cmd": ["x\0"], "results": [], "depends-on": ["a"], "requires": ["/x"]}]
    assert {rejection.field for rejection in rejections(tmp_path, tasks)} == {"cmd[0]", "depends-on", "requires[0]"}
    assert "database era" in only(tmp_path, [{"key": "a", "cmd": [], "timeout": 5}]).hint


def test_all_errors_are_reported_at_once_in_the_order_of_the_file(tmp_path):
    text = """[
      {"id": "a", "comands": "x",
       "dependencies": ["b"], "timeout": 0},
      {"id": "b", "commands": ["x", 5], "dependencies": ["a"], "results": ["/abs", "r"]},
      7,
      {"id": "c", "commands": [], "results": ["r"]}
    ]"""
    found = rejections(tmp_path, text)
    assert [rejection.line for rejection in found] == sorted(rejection.line for rejection in found)
    texts = "\n".join(map(str, found))
    for words in (
        ':2, task "a", comands: ', ':2, task "a", commands: is missing', "a -> b -> a", ':3, task "a", timeout',
        ':4, task "b", commands[1]', "`/abs`", ":5, task number 3: is a number", ':6, task "c", results',
    ):  # fmt: skip
        assert words in texts, words


def test_a_hundred_faults_are_shown_and_the_rest_counted(tmp_path):
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps([{"id": str(number), "commands": 5} for number in range(250)]))
    with pytest.raises(InputRejectedError) as caught:
        read_file(path)
    assert len(caught.value.rejections) == 100 and caught.value.more == 150
    assert str(caught.value).endswith("... and 150 more like these")


def test_good_input_at_the_edges_is_taken(tmp_path):
    path = tmp_path / "tasks.json"
    tasks = [
        {"id": "x" * 255, "commands": "true\n" * 2_000},
        {"id": " ", "commands": [""], "timeout": 0.001, "resources": {"slots": 2.0}},
        {"id": "a/b", "commands": [["true", ""]], "results": ['my file\'s "name".inp', "a\nb\tc"], "retry_delay": 0},
    ]
    path.write_text(json.dumps(tasks))
    assert read_file(path).tasks == 3
