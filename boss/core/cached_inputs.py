"""Which inputs lie in which worker's cache, as far as the worker and the datastore have reported.

A hint: whoever acts on it must do without if it is wrong (a worker answers InputsMissing). So a digest is kept as its
first 64 bits, eight bytes in a sorted array: a thousand workers with ten thousand inputs each are eighty megabytes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence

from wire.messages import Digest, Input

#: Digests that are known of one worker. What is beyond is staged through the datastore, which finds it there.
MAX_DIGESTS = 10_000
#: Result files of one attempt that its worker is asked to keep.
KEPT_RESULTS = 256

_START, _END = len("b2:"), len("b2:") + 16


class Cached:
    """The digests in one worker's cache. Asking costs a search in an array, a change moves its rest."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers = array("Q")

    def __len__(self) -> int:
        return len(self._numbers)

    def begin(self, digests: Sequence[Digest]) -> None:
        """All that its hello states, most recently used first."""
        numbers = {number for digest in digests[:MAX_DIGESTS] if (number := _number(digest)) is not None}
        self._numbers = array("Q", sorted(numbers))

    def add(self, digests: Iterable[Digest]) -> None:
        for digest in digests:
            number = _number(digest)
            if number is not None and len(self._numbers) < MAX_DIGESTS and not self._has(number):
                insort(self._numbers, number)

    def drop(self, digests: Iterable[Digest]) -> None:
        for digest in digests:
            number = _number(digest)
            if number is not None and self._has(number):
                del self._numbers[bisect_left(self._numbers, number)]

    def has(self, digest: Digest) -> bool:
        number = _number(digest)
        return number is not None and self._has(number)

    def has_all(self, inputs: Iterable[Input]) -> bool:
        """True: each of these is bound to a version, and is here. Folders that are to be made require no digest."""
        return all(one.folder or self.has(one.digest) for one in inputs)

    def bytes_of(self, inputs: Iterable[tuple[Digest, int]]) -> int:
        """How many bytes of these (digest, size) are here."""
        return sum(size for digest, size in inputs if self.has(digest))

    def _has(self, number: int) -> bool:
        at = bisect_left(self._numbers, number)
        return at < len(self._numbers) and self._numbers[at] == number


def _number(digest: Digest) -> int | None:
    """None: it is no digest (a worker may report anything)."""
    try:
        number = int(digest[_START:_END], 16)
    except ValueError:
        return None
    return number if 0 <= number < 2**64 else None
