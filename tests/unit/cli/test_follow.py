"""What push_tasks.py prints of why work waits while it follows."""

from __future__ import annotations

from boss.api.schema import ReasonAnswer
from boss.cli.follow import LASTS_SECONDS, Reasons

FULL = "pool cloud cannot grow: quota; it is tried again at 19:29:13 (in {} s)"


class Line:
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def reason(text: str, about: str = "cloud", kind: str = "pool_cannot_grow") -> ReasonAnswer:
    return ReasonAnswer(kind=kind, about=about, text=text)


def printed(*rounds: list[ReasonAnswer]) -> list[str]:
    """One look a second."""
    line, reasons = Line(), Reasons()
    for now, present in enumerate(rounds):
        reasons.print(line, present, float(now))  # type: ignore[arg-type]  # only says
    return line.said


def test_what_lasts_is_printed_once_though_its_numbers_change() -> None:
    said = printed(*([reason(FULL.format(54 - now))] for now in range(20)))
    assert said == [FULL.format(54 - int(LASTS_SECONDS))]


def test_what_is_over_soon_is_not_printed_and_what_comes_back_is_printed_again() -> None:
    a = [reason("a")]
    assert printed(a, a, [], a) == []
    assert printed(*[a] * 5, [], *[a] * 5) == ["a", "a"]


def test_two_of_one_kind_and_two_about_one_thing_are_all_printed() -> None:
    present = [
        reason("worker cloud-1 is quarantined", "cloud-1", "worker_quarantined"),
        reason("worker cloud-2 is quarantined", "cloud-2", "worker_quarantined"),
        reason("inputs cannot be brought to worker cloud-1", "cloud-1", "inputs_not_brought"),
    ]
    assert printed(*[present] * 5) == [one.text for one in present]
