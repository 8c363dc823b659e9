"""What push_tasks.py tells of what hinders while it follows."""

from __future__ import annotations

from boss.cli.follow import HINDRANCE_SECONDS, _Hindrances

FULL = "pool cloud cannot grow: quota; it is tried again at 19:29:13 (in {} s)"


class Line:
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def told(*rounds: list[str]) -> list[str]:
    """One look a second."""
    line, hindrances = Line(), _Hindrances()
    for now, present in enumerate(rounds):
        hindrances.tell(line, present, float(now))  # type: ignore[arg-type]  # only says
    return line.said


def test_what_lasts_is_told_once_though_its_numbers_change() -> None:
    said = told(*([FULL.format(54 - now)] for now in range(20)))
    assert said == [FULL.format(54 - int(HINDRANCE_SECONDS))]


def test_what_is_over_soon_is_not_told_and_what_comes_back_is_told_again() -> None:
    assert told(["a"], ["a"], [], ["a"]) == []
    assert told(*[["a"]] * 5, [], *[["a"]] * 5) == ["a", "a"]


def test_two_that_differ_by_their_numbers_are_both_told() -> None:
    both = ["worker cloud-1 is set aside", "worker cloud-2 is set aside"]
    assert sorted(told(*[both] * 5)) == both
