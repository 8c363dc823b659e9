"""Follows a batch to its end on a terminal, over lost connections and another boss. Prints progress only."""

from __future__ import annotations

import time
from collections.abc import Callable

from boss.web.answers import BatchAnswer
from boss.web.client import Client, ClientError, NoAnswer
from boss.web.terminal import ProgressLine, harmless, progress_words

#: How long a boss that does not answer any more is looked for.
LOST_SECONDS = 15.0
#: What hinders for a shorter time (a worker that is just starting) is not worth a line.
HINDRANCE_SECONDS = 3.0

#: Finds the boss anew (it may have another port now); None: there is none at present.
Find = Callable[[], Client | None]


class BossLost(ClientError):
    """The boss ended before the batch did."""


def follow(
    client: Client, batch: int, line: ProgressLine, find: Find, lost_seconds: float = LOST_SECONDS
) -> BatchAnswer:
    """The batch as it was when it was finished. Raises BossLost or Refused."""
    current: Client | None = client
    lost_at: float | None = None
    hindrances = _Hindrances()
    while True:
        try:
            if current is not None:
                for answer in current.follow(batch):
                    lost_at = None
                    hindrances.tell(line, answer.hindrances, time.monotonic())
                    line.show(_fraction(answer), progress_words(answer), last=answer.finished)
                    if answer.finished:
                        line.end()
                        return answer
        except NoAnswer:
            pass
        now = time.monotonic()
        if lost_at is None:
            lost_at = now
            line.say("The connection to the boss is lost; looking for it ...")
        if now - lost_at > lost_seconds:
            line.end()
            raise BossLost(f"the boss has ended before batch {batch} was finished; nothing of it is lost")
        time.sleep(0.25)
        current = find()


def _fraction(answer: BatchAnswer) -> float:
    return answer.counts.ended / answer.total if answer.total else 1.0


class _Hindrances:
    """Tells each hindrance once it has lasted; one that went away is told again when it comes back."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._told: set[str] = set()

    def tell(self, line: ProgressLine, present: list[str], now: float) -> None:
        self._since = {sentence: self._since.get(sentence, now) for sentence in present}
        self._told &= set(present)
        for sentence, since in self._since.items():
            if sentence not in self._told and now - since >= HINDRANCE_SECONDS:
                self._told.add(sentence)
                line.say(harmless(sentence))
