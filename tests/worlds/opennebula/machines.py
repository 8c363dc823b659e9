"""The machines of a front-end: how they come to be, which states they go through, their NICs and leases, their end.

A machine's state follows from how long it has been there, so nothing ticks; who wants to know when one boots asks
`state` now and then (`Cloud` does), and `on_boot` is called once.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.worlds.opennebula.encoding import attributes_of, expanded
from tests.worlds.opennebula.objects import (
    ACTION,
    ALLOCATE,
    AUTHORIZATION,
    NO_EXISTS,
    Attributes,
    Image,
    Knobs,
    Machine,
    Network,
    Quota,
    Refuse,
    Template,
    Timing,
    User,
)

DONE, HOTPLUG_NIC = 6, 25
#: Attributes that the server itself reads.
_OWN = frozenset("CPU VCPU MEMORY DISK NIC CONTEXT GRAPHICS OS FEATURES CPU_MODEL INPUT RAW".split())
_ALLOCATING = "Error allocating a new virtual machine template."


class Machines:
    """All that there is, and what becomes of it. Calls are made under `lock`."""

    def __init__(self, addresses: int | list[str] = 254, timing: Timing | None = None) -> None:
        given = (
            [f"10.77.{n // 250}.{n % 250 + 1}" for n in range(addresses)] if isinstance(addresses, int) else addresses
        )
        self.lock = threading.RLock()
        self.timing = timing or Timing()
        self.knobs = Knobs()
        self.users = {
            "oneadmin": User(0, "oneadmin", "admin-secret", group=0),
            "ecloud": User(2, "ecloud", "secret"),
            "other": User(3, "other", "other-secret"),
        }
        #: By group: 1 is everybody's.
        self.groups: dict[int, Quota] = {1: Quota()}
        self.networks = {0: Network(0, "private", given)}
        self.images: dict[int, Image] = {0: Image(0, "debian-12")}
        self.templates: dict[int, Template] = {}
        self.machines: dict[int, Machine] = {}
        self.on_boot: Callable[[Machine], None] = lambda _machine: None
        #: Called with the machine, and whether it is ended hard.
        self.on_end: Callable[[Machine, bool], None] = lambda _machine, _hard: None
        #: Called with the machine, the number of the network interface, and its address ("": it is taken out).
        self.on_plug: Callable[[Machine, int, str], None] = lambda _machine, _nic, _address: None
        self.add_template(
            "worker", {"CPU": "1", "MEMORY": "512", "NIC": {"NETWORK": "private"}, "CONTEXT": {"SSH_PUBLIC_KEY": "key"}}
        )

    # --- what tests look at and do -------------------------------------------------------------------

    def add_template(self, name: str, attributes: Attributes, owner: str = "ecloud") -> int:
        number = max(self.templates, default=-1) + 1
        self.templates[number] = Template(number, name, attributes, owner)
        return number

    def add_network(self, name: str, addresses: list[str], owner: str = "oneadmin") -> Network:
        number = max(self.networks, default=-1) + 1
        self.networks[number] = Network(number, name, addresses, owner)
        return self.networks[number]

    def alive(self, owner: str = "ecloud") -> list[Machine]:
        with self.lock:
            return [m for m in self.machines.values() if m.owner == owner and self.state(m)[0] != DONE]

    def die(self, machine: Machine) -> None:
        """Its operating system switches it off."""
        machine.stuck = (8, 0)

    def lose(self, machine: Machine) -> None:
        """Its host is seen no more: UNKNOWN."""
        machine.stuck = (3, 16)

    def make(self, owner: str, name: str, marks: Attributes | None = None) -> Machine:
        """A machine that was made otherwise."""
        with self.lock:
            return self._make(self.users[owner], name, -1, {"CPU": "1", **(marks or {})})

    def state(self, machine: Machine) -> tuple[int, int]:
        """(STATE, LCM_STATE) now."""
        now, timing = time.monotonic(), self.timing
        if machine.ended_at is not None:
            over = now >= machine.ended_at + timing.shutdown and not machine.os_runs
            return (DONE, 0) if over else (3, 12)
        if machine.stuck is not None:
            return machine.stuck
        if self.knobs.no_capacity and not machine.placed:
            return (1, 0)
        age = now - machine.made_at
        for seconds, state in ((timing.pending, (1, 0)), (timing.prolog, (3, 1)), (timing.boot, (3, 2))):
            if age < seconds:
                machine.placed = machine.placed or state[0] == 3
                return state
            age -= seconds
        machine.placed = True
        if not machine.booted:
            machine.booted = True
            self.on_boot(machine)
        return (3, HOTPLUG_NIC) if now < machine.plugging_until else (3, 3)

    # --- its beginning -------------------------------------------------------------------------------

    def instantiate(
        self, user: User, template: int, name: str = "", hold: bool = False, extra: str = "", persistent: bool = False
    ) -> int:
        found = self.templates.get(template)
        if found is None:
            raise Refuse(NO_EXISTS, f"Error getting virtual machine template [{template}].")
        if bad := re.search(r"[/$]", name):
            raise Refuse(ALLOCATE, f"{_ALLOCATING} Invalid NAME, char '{bad[0]}' is not allowed")
        given = attributes_of(extra) if extra.strip() else {}
        self._refuse_restricted(user, given)
        merged = {**found.attributes, **given}
        made = self._make(user, name or f"{found.name}-{len(self.machines)}", template, merged)
        return made.id

    def _refuse_restricted(self, user: User, given: Attributes) -> None:
        for restricted in self.knobs.restricted:
            group, _, name = restricted.partition("/")
            values = given.get(group)
            if any(
                name in each for each in (values if isinstance(values, list) else [values]) if isinstance(each, dict)
            ):
                raise Refuse(
                    AUTHORIZATION, f"User [{user.id}] : User Template includes a restricted attribute {restricted}."
                )

    def _make(self, user: User, name: str, number: int, template: Attributes) -> Machine:
        template = dict(template)
        self.refuse_beyond_quota(user, template)
        images = self._images(user, template)
        nics = template.get("NIC")
        wanted = [dict(each) for each in (nics if isinstance(nics, list) else [nics] if nics else [])]
        leased: dict[int, tuple[int, str]] = {}
        for index, nic in enumerate(wanted):
            leased[index] = self._lease(user, nic, leased.values())
            nic |= {"IP": leased[index][1], "NIC_ID": str(index), "NETWORK_ID": str(leased[index][0])}
        if wanted:
            template["NIC"] = wanted if len(wanted) > 1 else wanted[0]
        # What means nothing to the server goes into USER_TEMPLATE, whether the template or the call said it.
        notes = {key: template.pop(key) for key in list(template) if key not in _OWN}
        made = Machine(
            len(self.machines), name, user.name, template, notes, time.monotonic(), leased, number, images=images
        )
        if isinstance(template.get("CONTEXT"), dict):
            template["CONTEXT"] = self._context(user, made)
        if self.knobs.stuck:
            made.stuck = self.knobs.stuck.pop(0)
            if made.stuck == (3, 36):
                made.user_template["ERROR"] = "Sat Nov 21 2026 : DEPLOY: cannot start the domain"
        self.machines[made.id] = made
        return made

    def _context(self, user: User, machine: Machine) -> Attributes:
        context = machine.template["CONTEXT"]
        if context.get("TOKEN") == "YES" and self.knobs.no_onegate:
            raise Refuse(ALLOCATE, f"{_ALLOCATING} TOKEN set, but onegate endpoint was not defined in oned.conf.")
        known = {"NAME": machine.name, "VMID": str(machine.id)}
        both = {**machine.template, **machine.user_template}
        plain = {key: str(value) for key, value in both.items() if not isinstance(value, dict | list)}
        full = expanded(context, lambda name, inner: "" if inner else known.get(name, plain.get(name, "")))
        if full.get("NETWORK") == "YES":
            for index, (_, address) in machine.nics.items():
                full |= {f"ETH{index}_IP": address, f"ETH{index}_MASK": "255.255.255.0"}
        return full

    def _images(self, user: User, template: Attributes) -> list[int]:
        disks = template.get("DISK")
        used = []
        for index, disk in enumerate(disks if isinstance(disks, list) else [disks] if disks else []):
            if "IMAGE" not in disk and "IMAGE_ID" not in disk:
                continue  # volatile
            image = self._image(user, disk, index)
            taken = any(image.id in each.images for each in self.machines.values() if self.state(each)[0] != DONE)
            if image.persistent and taken:
                raise Refuse(
                    ALLOCATE,
                    f"{_ALLOCATING} DISK {index}: Cannot acquire image {image.id}, it is persistent and already in use",
                )
            used.append(image.id)
        return used

    def _image(self, user: User, disk: Attributes, index: int) -> Image:
        if "IMAGE_ID" in disk:
            number = int(disk["IMAGE_ID"])
            if number not in self.images:
                raise Refuse(ALLOCATE, f"{_ALLOCATING} DISK {index}: Image with ID: {number} does not exist")
            return self.images[number]
        owner = disk.get("IMAGE_UNAME", user.name)
        for image in self.images.values():
            if (image.name, image.owner) == (disk["IMAGE"], owner):
                return image
        raise Refuse(
            ALLOCATE,
            f"{_ALLOCATING} User {user.id} does not own an image with name: {disk['IMAGE']} . "
            "Set IMAGE_UNAME or IMAGE_UID of owner in DISK.",
        )

    # --- quotas and leases ---------------------------------------------------------------------------

    def used(self, names: list[str]) -> dict[str, float]:
        """VMS, CPU, MEMORY of all machines of these accounts that are not done."""
        theirs = [m for m in self.machines.values() if m.owner in names and self.state(m)[0] != DONE]
        return {
            "VMS": len(theirs),
            "CPU": sum(float(m.template.get("CPU") or 1) for m in theirs),
            "MEMORY": sum(float(m.template.get("MEMORY") or 128) for m in theirs),
        }

    def limit_of(self, user: User) -> Quota:
        return Quota(self.knobs.quota) if user.quota == Quota() else user.quota

    def refuse_beyond_quota(self, user: User, template: Attributes) -> None:
        wanted = {"VMS": 1.0, "CPU": float(template.get("CPU") or 1), "MEMORY": float(template.get("MEMORY") or 128)}
        members = [each.name for each in self.users.values() if each.group == user.group]
        both = (
            (f"user [{user.id}]", self.limit_of(user), [user.name]),
            (f"group [{user.group}]", self.groups.get(user.group, Quota()), members),
        )
        for who, quota, names in both:
            used = self.used(names)
            for name, limit in (("VMS", quota.vms), ("CPU", quota.cpu), ("MEMORY", quota.memory)):
                if limit is not None and used[name] + wanted[name] > limit:
                    raise Refuse(
                        AUTHORIZATION, f"User [{user.id}] : {who} limit of {limit} reached for {name} quota in VM."
                    )

    def leases(self, network: Network, owner: str = "") -> list[str]:
        """Taken addresses, or those that are taken by one account."""
        alive = [m for m in self.machines.values() if self.state(m)[0] != DONE and owner in ("", m.owner)]
        return [address for m in alive for number, address in m.nics.values() if number == network.id]

    def _lease(self, user: User, nic: Attributes, also: Any = ()) -> tuple[int, str]:
        network = self._network(user, nic)
        limit = user.quota.leases.get(network.id)
        mine = len(self.leases(network, user.name)) + len([1 for number, _ in also if number == network.id])
        if limit is not None and mine >= limit:
            raise Refuse(
                AUTHORIZATION,
                f"User [{user.id}] : user [{user.id}] limit of {limit} reached for LEASES quota in NETWORK "
                f"with ID: {network.id}.",
            )
        taken = {*self.leases(network), *(address for number, address in also if number == network.id)}
        free = [address for address in network.addresses if address not in taken]
        wanted = nic.get("IP")
        if not free or (wanted and wanted not in free):
            raise Refuse(ALLOCATE, f"{_ALLOCATING} Cannot get IP/MAC lease from virtual network {network.id}.")
        return network.id, str(wanted or free[0])

    def _network(self, user: User, nic: Attributes) -> Network:
        if "NETWORK_ID" in nic:
            return self.networks[int(nic["NETWORK_ID"])]
        owner = nic.get("NETWORK_UNAME", user.name)
        for network in self.networks.values():
            if (network.name, network.owner) == (nic.get("NETWORK"), owner):
                return network
        raise Refuse(
            ALLOCATE,
            f"{_ALLOCATING} User {user.id} does not own a network with name: {nic.get('NETWORK')} . "
            "Set NETWORK_UNAME or NETWORK_UID of owner in NIC.",
        )

    # --- network interfaces and the end ---------------------------------------------------------------------------

    def attach(self, user: User, number: int, text: str) -> int:
        machine = self.machine(user, number)
        if self.state(machine) not in ((3, 3), (8, 0)):
            raise Refuse(ACTION, f"{_attaching('attach', number)} wrong state {_state_name(self.state(machine))}.")
        nic = dict(attributes_of(text)["NIC"])
        index = max(machine.nics, default=-1) + 1
        network, address = self._lease(user, nic)
        machine.nics[index] = (network, address)
        nic |= {"IP": address, "NIC_ID": str(index), "NETWORK_ID": str(network)}
        before = machine.template.get("NIC")
        nics = [*(before if isinstance(before, list) else [before] if before else []), nic]
        machine.template["NIC"] = nics if len(nics) > 1 else nics[0]
        machine.plugging_until = time.monotonic() + self.timing.plug
        self.on_plug(machine, index, address)
        return number

    def detach(self, user: User, number: int, nic: int) -> int:
        machine = self.machine(user, number)
        if self.state(machine) not in ((3, 3), (8, 0)):
            raise Refuse(ACTION, f"{_attaching('detach', number)} wrong state {_state_name(self.state(machine))}.")
        if nic not in machine.nics:
            raise Refuse(ACTION, f"{_attaching('detach', number)} NIC with ID {nic} does not exist")
        del machine.nics[nic]
        before = machine.template["NIC"]
        nics = [each for each in (before if isinstance(before, list) else [before]) if each["NIC_ID"] != str(nic)]
        machine.template["NIC"] = nics if len(nics) > 1 else (nics[0] if nics else {})
        if not nics:
            del machine.template["NIC"]
        machine.plugging_until = time.monotonic() + self.timing.plug
        self.on_plug(machine, nic, "")
        return number

    def act(self, user: User, action: str, number: int) -> int:
        machine = self.machine(user, number)
        if action not in ("terminate", "terminate-hard"):
            raise Refuse(ACTION, f'Action "{action}" is not supported')
        state, lcm = self.state(machine)
        if state == 3 and lcm in (1, 2, HOTPLUG_NIC):
            name = _state_name((state, lcm))
            raise Refuse(
                ACTION, f'Error performing action "terminate": Could not terminate VM {number}, wrong state {name}.'
            )
        if machine.ended_at is None:
            machine.ended_at = time.monotonic() - (self.timing.shutdown if state in (1, 2) else 0.0)
            self.on_end(machine, action == "terminate-hard")
        return number

    def machine(self, user: User, number: int) -> Machine:
        machine = self.machines.get(number)
        if machine is None:
            raise Refuse(NO_EXISTS, f"Error getting virtual machine [{number}].")
        if machine.owner != user.name:
            raise Refuse(AUTHORIZATION, f"User [{user.id}] : Not authorized to perform MANAGE VM [{number}].")
        return machine


def _attaching(what: str, number: int) -> str:
    return f"Could not {what} NIC to VM {number}," if what == "attach" else f"Could not {what} NIC from VM {number},"


def _state_name(state: tuple[int, int]) -> str:
    names = {(1, 0): "PENDING", (3, 1): "PROLOG", (3, 2): "BOOT", (3, 12): "SHUTDOWN", (3, 25): "HOTPLUG_NIC"}
    return names.get(state, str(state))
