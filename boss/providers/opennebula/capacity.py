"""How many more machines an account may have: what its quotas and its network leave. Pure.

Free capacity of the hosts is unknown (a plain account sees none of them): only machines that wait tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Bound(NamedTuple):
    """One limit, as it was when it was asked for. `limit` < 0: there is none."""

    #: For users: "quota of VMs of the account".
    what: str
    limit: float
    used: float
    #: What one machine takes of it.
    each: float = 1.0

    @property
    def left(self) -> int | None:
        """Machines that it leaves; None: it limits nothing."""
        if self.limit < 0 or self.each <= 0:
            return None
        return max(0, int((self.limit - self.used + 1e-9) // self.each))


def tightest(bounds: Iterable[Bound]) -> tuple[int | None, str]:
    """Machines that all of them leave, and what leaves the fewest."""
    limited = [(bound.left, bound) for bound in bounds if bound.left is not None]
    if not limited:
        return None, ""
    left, bound = min(limited, key=lambda pair: pair[0] or 0)
    return left, f"the {bound.what} is {bound.limit:g}"
