"""Times, memory, paths, and the list of commands that users are shown."""

from __future__ import annotations

import pytest

from boss.intake.derive import PlacePaths, derived_commands
from boss.intake.fields import bytes_of, seconds_of
from boss.intake.rules import shortest, wrong_path, wrong_project
from wire.messages import EpanetRun, Execution, Input, ResultItem


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("0.5s", 0.5),
        ("0s", 0),
        ("", None),
        ("5", None),
        ("m", None),
        ("1m1h", None),
        ("5 m", None),
        ("5m\n", None),
        ("٥m", None),
        ("9" * 400 + "s", None),
    ],
)
def test_times_are_understood(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("2GB", 2 * 10**9),
        ("2 GB", 2 * 10**9),
        ("2GiB", 2 << 30),
        ("2G", 2 << 30),
        ("1.5MB", 1_500_000),
        ("512kB", 512_000),
        ("10B", 10),
        ("1TiB", 1 << 40),
        ("", None),
        ("2", None),
        ("2gb", None),
        ("GB", None),
        ("-1GB", None),
        ("9" * 400 + "TB", None),
    ],
)
def test_amounts_of_memory_are_understood(text, amount):
    assert bytes_of(text) == amount


def test_paths_are_brought_to_their_shortest_form_without_hiding_a_fault():
    assert shortest("./a//b/.") == "a/b" and shortest("a") == "a"
    for path in ("/a", "//a", "..", "a/../b", "./../a", ".", "./", ""):
        assert wrong_path(shortest(path)), path


def test_project_names_are_folders():
    assert not wrong_project("a-b_c.1")
    for name in ("", ".", "..", "a/b", "-a", "a b", "x" * 65):
        assert wrong_project(name), name


def test_the_commands_shown_are_in_the_order_of_the_work():
    execution = Execution(commands=["sleep 3", ["mv", "a b", "c"]], results=[ResultItem(source="c", target="out/it's")])
    places = PlacePaths(tree="ecloud-data", work="attempts/7.1/work")
    assert derived_commands(execution, [Input(name="in", path="a b")], places) == [
        ("download", "cp -a -- ecloud-data/in 'attempts/7.1/work/a b'"),
        ("run", "sleep 3"),
        ("run", "mv 'a b' c"),
        ("upload", "cp -a -- attempts/7.1/work/c 'ecloud-data/out/it'\"'\"'s'"),
        ("cleanup", "rm -r -- attempts/7.1/work"),
    ]


def test_the_commands_shown_name_the_host():
    places = PlacePaths(tree="/data", work="/home/w", worker="ecloud@w1")
    ((_, line), *_) = derived_commands(Execution(), [Input(name="x", path="x")], places)
    assert line == "rsync -a --mkpath -- /data/x ecloud@w1:/home/w/x"


def test_a_port_that_is_not_the_usual_one_is_shown():
    places = PlacePaths(work="/home/w/work", worker="ecloud@w1", port=2222)
    ((_, line), *_) = derived_commands(Execution(), [Input(name="x", path="x")], places)
    assert line == "rsync -a --mkpath -e 'ssh -p 2222' -- ecloud-data/x ecloud@w1:/home/w/work/x"


def test_a_run_is_shown_as_the_command_that_does_the_same():
    run = EpanetRun(inp="Net 3.inp", scenarios="s.csv", rows=(0, 50), output={"directory": "out"})
    lines = derived_commands(Execution(epanet=run), [], PlacePaths())
    assert lines[0] == ("run", "python3 -m worker.epanet run 'Net 3.inp' --scenarios s.csv --rows 0:50 --out out")
    assert (
        "# 1 scenarios"
        in derived_commands(Execution(epanet=EpanetRun(inp="a", scenarios=[{}])), [], PlacePaths())[0][1]
    )
