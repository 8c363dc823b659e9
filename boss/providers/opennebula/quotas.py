"""How many more machines an account may have: what pyone's account, group and network say about limits, as values.

An account that may not look at its group or its network sees less, and gets no error. Free capacity of the hosts is
unknown (a plain account sees none of them): only machines that wait tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from boss.providers.opennebula.errors import CloudError
from boss.providers.opennebula.machines import owner_and_name

Asked = Callable[[Callable[[Any], Any]], Any]
#: "As the default quotas say."
_DEFAULT = -2.0
_SILENT = ("rights", "missing", "refused")


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


def bounds(asked: Asked, network: str, own: Mapping[str, object]) -> list[Bound]:
    """`network`: number, name or owner/name, empty: that of `own`, the TEMPLATE of one machine."""
    found = found_network(asked, network or _network_of(own))
    number = None if found is None else int(found.ID)
    needs = {"VMS": 1.0, "CPU": _number(own.get("CPU")), "MEMORY": _number(own.get("MEMORY"))}
    user = asked(lambda one: one.user.info(-1))
    limits = list(_of_owner(user, getattr(user, "DEFAULT_USER_QUOTAS", None), "the account", needs, number))
    group = _or_none(asked, lambda one: one.group.info(-1))
    if group is not None:
        limits += _of_owner(group, getattr(group, "DEFAULT_GROUP_QUOTAS", None), "its group", needs, number)
    if found is not None:
        size = sum(_number(each.SIZE) for each in _listed(found.AR_POOL, "AR"))
        limits.append(Bound(f"number of addresses of network {found.NAME}", size, float(found.USED_LEASES)))
    return limits


def found_network(asked: Asked, network: str) -> Any | None:
    """pyone's network; None: there is none of that name, or the account may not see it."""
    if not network:
        return None
    if network.isdigit():
        return _or_none(asked, lambda one: one.vn.info(int(network)))
    owner, name = owner_and_name(network)
    pool = _or_none(asked, lambda one: one.vnpool.info(-2, -1, -1))
    named = [each for each in (pool.VNET if pool else []) if name == each.NAME and owner in ("", each.UNAME)]
    return named[0] if named else None


def _of_owner(owner: Any, usual: Any, who: str, needs: Mapping[str, float], network: int | None) -> Iterator[Bound]:
    """Of an account or a group; `usual`: what holds where its own limit is -2, the default."""
    usual_quotas = _listed(getattr(usual, "VM_QUOTA", None), "VM")
    for quota in _listed(owner.VM_QUOTA, "VM"):
        for name, each in needs.items():
            for prefix, words in (("", ""), ("RUNNING_", "running ")):
                limit = _number(getattr(quota, prefix + name, None), -1.0)
                if limit == _DEFAULT:
                    limit = _number(getattr(usual_quotas[0], prefix + name, None), -1.0) if usual_quotas else -1.0
                used = _number(getattr(quota, f"{prefix}{name}_USED", None))
                yield Bound(f"quota of {words}{name} of {who}", limit, used, each)
    for quota in _listed(owner.NETWORK_QUOTA, "NETWORK"):
        if network is not None and str(quota.ID) == str(network):
            yield Bound(f"quota of addresses of {who}", _number(quota.LEASES, -1.0), _number(quota.LEASES_USED))


def _listed(holder: Any, name: str) -> list[Any]:
    """VM is a list in newer versions of pyone, and one object in older ones."""
    value = getattr(holder, name, None) if holder is not None else None
    return value if isinstance(value, list) else [value] if value is not None else []


def _network_of(own: Mapping[str, object]) -> str:
    nics = own.get("NIC")
    nic = nics[0] if isinstance(nics, list) and nics else nics
    if not isinstance(nic, Mapping):
        return ""
    if nic.get("NETWORK_ID"):
        return str(nic["NETWORK_ID"])
    name, owner = str(nic.get("NETWORK") or ""), str(nic.get("NETWORK_UNAME") or "")
    return f"{owner}/{name}" if owner and name else name


def _number(value: object, otherwise: float = 0.0) -> float:
    try:
        return float(str(value))
    except ValueError:
        return otherwise


def _or_none(asked: Asked, call: Callable[[Any], Any]) -> Any | None:
    try:
        return asked(call)
    except CloudError as error:
        if error.kind not in _SILENT:
            raise
        return None
