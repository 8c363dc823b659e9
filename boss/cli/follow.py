"""Follows a batch to its end on a terminal, over lost connections and another boss. Prints progress only."""

from __future__ import annotations

import time
from collections.abc import Callable

from boss.api.schema import BatchAnswer, ReasonAnswer
from boss.cli.terminal import ProgressLine, format_progress, harmless
from boss.client.client import BossLostError, Client, NoAnswerError

#: How long to search for a boss that no longer answers.
LOST_SECONDS = 15.0
#: A reason that holds for a shorter time (a worker is just starting) is not worth a line.
LASTS_SECONDS = 3.0

#: Finds the boss again (it may have another port now); None: none runs at present.
Find = Callable[[], Client | None]


def follow(
    client: Client, batch: int, line: ProgressLine, find: Find, lost_seconds: float = LOST_SECONDS
) -> BatchAnswer:
    """The batch as it was when it was finished. Raises BossLostError, RequestRefusedError."""
    current: Client | None = client
    lost_at: float | None = None
    reasons = Reasons()
    while True:
        try:
            if current is not None:
                for answer in current.follow(batch):
                    lost_at = None
                    reasons.print(line, answer.reasons, time.monotonic())
                    line.show(answer.counts.ended, answer.total, format_progress(answer), last=answer.finished)
                    if answer.finished:
                        line.end()
                        return answer
        except NoAnswerError:
            pass
        now = time.monotonic()
        if lost_at is None:
            lost_at = now
            line.say("The connection to the boss is lost; reconnecting ...")
        if now - lost_at > lost_seconds:
            line.end()
            raise BossLostError(f"the boss stopped before batch {batch} was finished; nothing of it is lost")
        time.sleep(0.25)
        current = find()


class Reasons:
    """Prints each reason why work waits once it has lasted; one that went away is printed again when it returns.

    One whose numbers change meanwhile ("tried again in 54 s") is the same one: kind and subject say which it is.
    """

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], float] = {}
        self._printed: set[tuple[str, str]] = set()

    def print(self, line: ProgressLine, present: list[ReasonAnswer], now: float) -> None:
        known = {(reason.kind, reason.about): reason.text for reason in present}
        self._since = {which: self._since.get(which, now) for which in known}
        self._printed &= known.keys()
        for which, since in self._since.items():
            if which not in self._printed and now - since >= LASTS_SECONDS:
                self._printed.add(which)
                line.say(harmless(known[which]))
