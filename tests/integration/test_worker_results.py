"""Directories, patterns and awkward names among the results of an attempt."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wire.messages import ResultFolder, ResultItem
from worker.results import Results, ResultsError, list_results

AWKWARD = ["a b", "'\"$`\\", "new\nline", "-rf", "*", "[a]", "e\u0301", "é", "x" * 255, "\x1b[31m"]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def fill(work: Path, *paths: str) -> None:
    for path in paths:
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(path)


def listed(work: Path, *pairs: str | tuple[str, str], inputs: frozenset[str] = frozenset()) -> Results:
    items = [
        ResultItem(source=p, target=p) if isinstance(p, str) else ResultItem(source=p[0], target=p[1]) for p in pairs
    ]
    return list_results(work, items, inputs)


def targets(results: Results) -> list[str]:
    return sorted(entry.target for entry in results.manifest)


def test_a_directory_is_reported_with_its_files_and_empty_folders(work: Path) -> None:
    fill(work, "d/a", "d/e/b")
    (work / "d/none/inner").mkdir(parents=True)
    results = listed(work, ("d", "out/d"))
    assert targets(results) == ["out/d/a", "out/d/e/b"]
    assert results.folders == [ResultFolder(source="d", target="out/d", empty=["none/inner"])]


def test_an_empty_directory_is_a_result(work: Path) -> None:
    (work / "d").mkdir()
    assert listed(work, "d") == ([], [ResultFolder(source="d", target="d")])


def test_a_pattern_means_what_matches_at_the_end(work: Path) -> None:
    fill(work, "out/a.csv", "out/b.csv", "out/c.txt", "out/.hidden.csv", "out/sub/d.csv")
    assert targets(listed(work, "out/*.csv")) == ["out/a.csv", "out/b.csv"]
    assert targets(listed(work, "out/**/*.csv")) == ["out/a.csv", "out/b.csv", "out/sub/d.csv"]
    assert targets(listed(work, "out/[ab].*")) == ["out/a.csv", "out/b.csv"]


def test_matches_go_to_the_same_place_below_the_targets_fixed_part(work: Path) -> None:
    fill(work, "out/a.csv", "out/sub/d.csv")
    assert targets(listed(work, ("out/**/*.csv", "kept/all"))) == ["kept/all/a.csv", "kept/all/sub/d.csv"]
    assert targets(listed(work, ("out/**/*.csv", "kept/**/*.csv"))) == ["kept/a.csv", "kept/sub/d.csv"]
    assert targets(listed(work, ("**/*.csv", "kept"))) == ["kept/out/a.csv", "kept/out/sub/d.csv"]


def test_a_directory_that_matches_is_taken_whole(work: Path) -> None:
    fill(work, "runs/1/a", "runs/2/b/c")
    results = listed(work, "runs/*")
    assert targets(results) == ["runs/1/a", "runs/2/b/c"]
    assert [folder.target for folder in results.folders] == ["runs/1", "runs/2"]
    assert listed(work, "runs/**").folders == []


def test_the_outer_directory_replaces_what_is_in_it(work: Path) -> None:
    fill(work, "runs/1/a", "runs/1/b/c")
    results = listed(work, "runs/1", "*/1")
    assert targets(results) == ["runs/1/a", "runs/1/b/c"]
    assert [folder.target for folder in results.folders] == ["runs/1"]


def test_a_file_of_exactly_that_name_comes_before_what_would_match(work: Path) -> None:
    fill(work, "[ab].csv", "a.csv")
    assert targets(listed(work, "[ab].csv")) == ["[ab].csv"]


def test_no_match_fails_with_the_patterns_name(work: Path) -> None:
    with pytest.raises(ResultsError, match=r"Uploading results failed: nothing matches result 'out/\*\.csv'"):
        listed(work, "out/*.csv")


def test_an_input_is_no_result_because_a_pattern_would_match_it(work: Path) -> None:
    fill(work, "in.csv", "out.csv")
    assert targets(listed(work, "*.csv", inputs=frozenset({"in.csv"}))) == ["out.csv"]
    assert targets(listed(work, "in.csv", inputs=frozenset({"in.csv"}))) == ["in.csv"]


def test_two_results_that_go_to_one_place_fail_with_both_names(work: Path) -> None:
    fill(work, "a/x", "b/x")
    with pytest.raises(ResultsError, match=r"'a/x' and 'b/x' would both go to 'out/x'"):
        listed(work, ("a/*", "out"), ("b/*", "out"))
    assert targets(listed(work, "a/*", "a/x")) == ["a/x"]


@pytest.mark.parametrize("pattern", ["out/*", "out/**"])
def test_no_pattern_follows_a_link_out_of_the_working_directory(tmp_path: Path, work: Path, pattern: str) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/file").write_text("x")
    (work / "out").symlink_to(tmp_path / "secret")
    with pytest.raises(ResultsError):
        listed(work, pattern)
    (work / "out").unlink()
    (work / "out").mkdir()
    (work / "out/link").symlink_to(tmp_path / "secret/file")
    with pytest.raises(ResultsError, match="leads out of the working directory"):
        listed(work, pattern)


def test_awkward_names_are_listed_as_they_are(work: Path) -> None:
    fill(work, *(f"d/{name}" for name in AWKWARD))
    assert targets(listed(work, "d")) == sorted(f"d/{name}" for name in AWKWARD)
    assert targets(listed(work, "[d]/*")) == sorted(f"d/{name}" for name in AWKWARD)


def test_a_name_that_is_no_text_fails_with_a_sentence(work: Path) -> None:
    (work / "d").mkdir()
    with open(os.fsencode(work) + b"/d/\xff", "w"):
        pass
    with pytest.raises(ResultsError, match="is not valid UTF-8"):
        listed(work, "d")
