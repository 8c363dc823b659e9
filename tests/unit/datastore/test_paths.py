"""Names inside the tree: which are refused, and that the others stay as they are."""

from __future__ import annotations

import pytest

from datastore.paths import NameRefusedError, clash, clean_name, clean_path, folders_of, shown


@pytest.mark.parametrize(
    "name",
    ["a", "out/a.csv", "my file's \"best\".inp", "-rf", "--help", "zwei\nzeilen", "ünïcode/测试", "a\\b", "...",
     ".hidden", "x/.ecloud/y", " ", "a" * 255],
)  # fmt: skip
def test_a_name_that_stays_inside_is_taken_unchanged(name: str) -> None:
    assert clean_name(name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [("", "empty"), ("/etc/passwd", "absolute"), ("../x", "'..'"), ("a/../../x", "'..'"), ("a/..", "'..'"),
     ("./a", "'.'"), ("a//b", "empty component"), ("a/", "empty component"), ("a\0b", "NUL"), ("a" * 256, "255 bytes"),
     ("é" * 128, "255 bytes"), ("/".join(["abcdefgh"] * 200), "1,024 bytes"), ("a\ud800", "Unicode")],
)  # fmt: skip
def test_a_name_that_could_leave_the_tree_or_cannot_be_is_refused_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(NameRefusedError, match=why):
        clean_name(name)


@pytest.mark.parametrize("name", [".ecloud", ".ecloud/index.sqlite"])
def test_the_own_folder_of_the_datastore_is_refused_as_a_name_but_not_as_a_path_of_an_attempt(name: str) -> None:
    with pytest.raises(NameRefusedError, match="datastore's own"):
        clean_name(name)
    assert clean_path(name) == name


def test_an_error_text_is_one_short_line_whatever_the_name_holds() -> None:
    with pytest.raises(NameRefusedError) as caught:
        clean_name("\x1b[31m\n" * 1000 + "/..")
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert len(shown("x" * 5000)) < 150


def test_names_that_exclude_one_another_are_reported() -> None:
    assert clash(["a/b", "a/c", "b"]) == ""
    assert "twice" in clash(["a", "b", "a"])
    assert "folder" in clash(["a", "a/b"])
    assert "folder" in clash(["a/b/c", "a"])


def test_folders_are_listed_from_the_nearest_up() -> None:
    assert folders_of("a/b/c") == ["a/b", "a"]
    assert folders_of("a") == []
