"""Follows a batch to its end on a terminal, over lost connections and another boss. Prints progress only."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable

from boss.api.schema import BatchAnswer
from boss.cli.terminal import ProgressLine, format_progress, harmless
from boss.client.client import Client, ClientError, NoAnswerError

#: How long a boss that does not answer any more is looked for.
LOST_SECONDS = 15.0
#: What hinders for a shorter time (a worker that is just starting) is not worth a line.
HINDRANCE_SECONDS = 3.0

_NUMBER = re.compile(r"[0-9]+")

#: Finds the boss anew (it may have another port now); None: there is none at present.
Find = Callable[[], Client | None]


class BossLostError(ClientError):
    """The boss ended before the batch did."""


def follow(
    client: Client, batch: int, line: ProgressLine, find: Find, lost_seconds: float = LOST_SECONDS
) -> BatchAnswer:
    """The batch as it was when it was finished. Raises BossLostError or Refused."""
    current: Client | None = client
    lost_at: float | None = None
    hindrances = _Hindrances()
    while True:
        try:
            if current is not None:
                for answer in current.follow(batch):
                    lost_at = None
                    hindrances.tell(line, answer.hindrances, time.monotonic())
                    line.show(_fraction(answer), format_progress(answer), last=answer.finished)
                    if answer.finished:
                        line.end()
                        return answer
        except NoAnswerError:
            pass
        now = time.monotonic()
        if lost_at is None:
            lost_at = now
            line.say("The connection to the boss is lost; looking for it ...")
        if now - lost_at > lost_seconds:
            line.end()
            raise BossLostError(f"the boss has ended before batch {batch} was finished; nothing of it is lost")
        time.sleep(0.25)
        current = find()


def _fraction(answer: BatchAnswer) -> float:
    return answer.counts.ended / answer.total if answer.total else 1.0


class _Hindrances:
    """Tells each hindrance once it has lasted; one that went away is told again when it comes back.

    One whose numbers change meanwhile ("tried again in 54 s") is the same one.
    """

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._told: set[str] = set()

    def tell(self, line: ProgressLine, present: list[str], now: float) -> None:
        known = _by_what_lasts(present)
        self._since = {lasting: self._since.get(lasting, now) for lasting in known}
        self._told &= known.keys()
        for lasting, since in self._since.items():
            if lasting not in self._told and now - since >= HINDRANCE_SECONDS:
                self._told.add(lasting)
                line.say(harmless(known[lasting]))


def _by_what_lasts(sentences: list[str]) -> dict[str, str]:
    """Each by itself without its numbers, or with them where only they tell it from another."""
    bare = [_NUMBER.sub("#", sentence) for sentence in sentences]
    count = Counter(bare)
    return {one if count[one] == 1 else sentence: sentence for one, sentence in zip(bare, sentences, strict=True)}
