"""The front-end: accounts, templates, networks with addresses, machines with states, and knobs that make it misbehave.

Behaves as was measured on genuine services of 6.10 and 7.2: texts and codes of errors, states and their order, one
card as a structure and several as a list, quota and missing rights under one code, "no address left" under a plain one.
A machine's states follow from how long it has been there, so nothing ticks; `on_boot` is called once when one runs.
"""

from __future__ import annotations

import base64
import re
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from typing import Any
from xml.sax.saxutils import escape
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

AUTHENTICATION, AUTHORIZATION, NO_EXISTS, ACTION, INTERNAL, ALLOCATE = 0x100, 0x200, 0x400, 0x800, 0x2000, 0x4000

Attributes = dict[str, Any]


class Refuse(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass
class Network:
    id: int
    name: str
    addresses: list[str]


@dataclass
class Machine:
    id: int
    name: str
    owner: str
    template: Attributes
    user_template: Attributes
    made_at: float
    address: str
    #: Set when its end was asked for.
    ended_at: float | None = None
    #: It never leaves this (state, lcm), whatever the time.
    stuck: tuple[int, int] | None = None
    booted: bool = False


@dataclass
class Timing:
    """Seconds of each state, and of a termination."""

    pending: float = 0.05
    prolog: float = 0.05
    boot: float = 0.05
    shutdown: float = 0.05


@dataclass
class Knobs:
    """How it misbehaves. Names of calls as in XML-RPC, without `one.`."""

    #: Seconds before a call is worked on, and between its effect and its answer.
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    #: Every call answers HTTP 503.
    down: bool = False
    #: Machines that get this (state, lcm) for good, in the order in which they are made; None: a good one.
    stuck: list[tuple[int, int] | None] = field(default_factory=list)
    quota: int | None = None
    #: No host has room: machines stay pending.
    no_capacity: bool = False


class FrontEnd:
    """`with FrontEnd() as front: front.endpoint`."""

    def __init__(self, addresses: int = 254, timing: Timing | None = None) -> None:
        self.users = {"ecloud": "secret", "other": "other-secret"}
        self.timing = timing or Timing()
        self.knobs = Knobs()
        self.networks = {0: Network(0, "private", [f"10.77.{n // 250}.{n % 250 + 1}" for n in range(addresses)])}
        self.templates: dict[int, tuple[str, Attributes]] = {}
        self.machines: dict[int, Machine] = {}
        self.calls: list[tuple[float, str]] = []
        self.on_boot: Callable[[Machine], None] = lambda _machine: None
        self.on_end: Callable[[Machine], None] = lambda _machine: None
        self._lock = threading.RLock()
        self._server = _Server(("127.0.0.1", 0), _Handler, logRequests=False, allow_none=False)
        self._server.front = self
        self._server.register_instance(_Dispatcher(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.add_template(
            "worker", {"CPU": "1", "MEMORY": "512", "NIC": {"NETWORK": "private"}, "CONTEXT": {"SSH_PUBLIC_KEY": "key"}}
        )

    def __enter__(self) -> FrontEnd:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/RPC2"

    def add_template(self, name: str, attributes: Attributes) -> int:
        number = len(self.templates)
        self.templates[number] = (name, attributes)
        return number

    # --- what tests look at and do -------------------------------------------------------------------

    def alive(self, owner: str = "ecloud") -> list[Machine]:
        with self._lock:
            return [m for m in self.machines.values() if m.owner == owner and self.state(m)[0] != 6]

    def count(self, call: str) -> int:
        return sum(name == call for _, name in self.calls)

    def die(self, machine: Machine) -> None:
        """Its guest switches itself off."""
        machine.stuck = (8, 0)

    def make(self, owner: str, name: str, marks: Attributes | None = None) -> Machine:
        """A machine that somebody else made."""
        with self._lock:
            return self._make(owner, name, {"CPU": "1"}, dict(marks or {}))

    def state(self, machine: Machine) -> tuple[int, int]:
        """(STATE, LCM_STATE) now."""
        now, timing = time.monotonic(), self.timing
        if machine.ended_at is not None:
            return (6, 0) if now >= machine.ended_at + timing.shutdown else (3, 12)
        if machine.stuck is not None:
            return machine.stuck
        if self.knobs.no_capacity and not machine.booted:
            return (1, 0)
        age = now - machine.made_at
        for seconds, state in ((timing.pending, (1, 0)), (timing.prolog, (3, 1)), (timing.boot, (3, 2))):
            if age < seconds:
                return state
            age -= seconds
        if not machine.booted:
            machine.booted = True
            self.on_boot(machine)
        return (3, 3)

    # --- calls ---------------------------------------------------------------------------------------

    def handle(self, method: str, parameters: tuple[Any, ...]) -> list[Any]:
        name = method.removeprefix("one.")
        self.calls.append((time.monotonic(), name))
        time.sleep(self.knobs.before.get(name, 0.0))
        try:
            with self._lock:
                user = self._user(str(parameters[0]), name)
                call = _CALLS.get(name)
                if call is None:
                    return [False, f"[{method}] Method not defined", ALLOCATE]
                answer: list[Any] = [True, call(self, user, *parameters[1:]), 0]
        except Refuse as refused:
            answer = [False, f"[{method}] {refused}", refused.code]
        time.sleep(self.knobs.after.get(name, 0.0))
        return answer

    def _user(self, session: str, name: str) -> str:
        user, _, password = session.partition(":")
        if self.users.get(user) != password:
            raise Refuse(AUTHENTICATION, "User couldn't be authenticated, aborting call.")
        return user

    def instantiate(
        self, user: str, template: int, name: str, hold: bool = False, extra: str = "", persistent: bool = False
    ) -> int:
        if template not in self.templates:
            raise Refuse(NO_EXISTS, f"Error getting virtual machine template [{template}].")
        if re.search(r"[/$]", name):
            raise Refuse(ALLOCATE, f"Error allocating a new virtual machine template. Invalid NAME, char in {name!r}")
        quota = self.knobs.quota
        if quota is not None and len(self.alive(user)) >= quota:
            raise Refuse(AUTHORIZATION, f"User [2] : user [2] limit of {quota} reached for VMS quota in VM.")
        given = _attributes(extra)
        machine_template = {**self.templates[template][1], **given}
        made = self._make(user, name or f"{self.templates[template][0]}-{len(self.machines)}", machine_template, given)
        return made.id

    def _make(self, owner: str, name: str, template: Attributes, given: Attributes) -> Machine:
        template = dict(template)
        address = ""
        cards = template.get("NIC")
        if cards:
            address = self._lease(cards if isinstance(cards, dict) else cards[0])
            template["NIC"] = {**(cards if isinstance(cards, dict) else cards[0]), "IP": address, "NIC_ID": "0"}
        user_template = {key: value for key, value in given.items() if not isinstance(value, dict)}
        machine = Machine(len(self.machines), name, owner, template, user_template, time.monotonic(), address)
        if self.knobs.stuck:
            machine.stuck = self.knobs.stuck.pop(0)
            if machine.stuck == (3, 36):
                machine.user_template["ERROR"] = "Sat Nov 21 2026 : DEPLOY: cannot start the domain"
        self.machines[machine.id] = machine
        return machine

    def _lease(self, card: Attributes) -> str:
        network = next((each for each in self.networks.values() if each.name == card.get("NETWORK")), None)
        if network is None:
            raise Refuse(
                ALLOCATE, f"User 2 does not own a network with name: {card.get('NETWORK')} . Set NETWORK_UNAME"
            )
        taken = {each.address for each in self.machines.values() if self.state(each)[0] != 6}
        free = next((address for address in network.addresses if address not in taken), None)
        if free is None:
            raise Refuse(
                ALLOCATE,
                "Error allocating a new virtual machine template. "
                f"Cannot get IP/MAC lease from virtual network {network.id}.",
            )
        return free

    def template_info(self, user: str, number: int) -> str:
        if number not in self.templates:
            raise Refuse(NO_EXISTS, f"Error getting virtual machine template [{number}].")
        return self._template_xml(number)

    def template_pool(self, user: str, *_: object) -> str:
        return f"<VMTEMPLATE_POOL>{''.join(map(self._template_xml, self.templates))}</VMTEMPLATE_POOL>"

    def _template_xml(self, number: int) -> str:
        name, attributes = self.templates[number]
        return (
            f"<VMTEMPLATE><ID>{number}</ID><UID>2</UID><GID>1</GID><UNAME>ecloud</UNAME><GNAME>users</GNAME>"
            f"<NAME>{escape(name)}</NAME><PERMISSIONS><OWNER_U>1</OWNER_U></PERMISSIONS><REGTIME>0</REGTIME>"
            f"<TEMPLATE>{_xml(attributes)}</TEMPLATE></VMTEMPLATE>"
        )

    def vm_pool(self, user: str, whose: int, *_: object) -> str:
        seen = [m for m in self.machines.values() if whose == -2 or m.owner == user]
        return f"<VM_POOL>{''.join(self._vm_xml(m) for m in seen if self.state(m)[0] != 6)}</VM_POOL>"

    def vm_info(self, user: str, number: int, *_: object) -> str:
        return self._vm_xml(self._machine(user, number))

    def _vm_xml(self, machine: Machine) -> str:
        state, lcm = self.state(machine)
        notes = dict(machine.user_template)
        if state == 1 and self.knobs.no_capacity:
            notes["SCHED_MESSAGE"] = "Sat Nov 21 2026: [HOST] Not enough CPU on hosts: 0,1"
        return (
            f"<VM><ID>{machine.id}</ID><UID>2</UID><GID>1</GID><UNAME>{machine.owner}</UNAME><GNAME>users</GNAME>"
            f"<NAME>{escape(machine.name)}</NAME><LAST_POLL>0</LAST_POLL><STATE>{state}</STATE>"
            f"<LCM_STATE>{lcm}</LCM_STATE><PREV_STATE>{state}</PREV_STATE><PREV_LCM_STATE>{lcm}</PREV_LCM_STATE>"
            f"<RESCHED>0</RESCHED><STIME>0</STIME><ETIME>0</ETIME><DEPLOY_ID></DEPLOY_ID><MONITORING/>"
            f"<TEMPLATE>{_xml(machine.template)}</TEMPLATE><USER_TEMPLATE>{_xml(notes)}</USER_TEMPLATE>"
            "<HISTORY_RECORDS/></VM>"
        )

    def vm_action(self, user: str, action: str, number: int) -> int:
        machine = self._machine(user, number)
        if action not in ("terminate", "terminate-hard"):
            raise Refuse(ACTION, f'Action "{action}" is not supported')
        state, lcm = self.state(machine)
        if state == 3 and lcm in (1, 2):
            raise Refuse(
                ACTION, f'Error performing action "terminate": Could not terminate VM {number}, wrong state BOOT.'
            )
        if machine.ended_at is None:
            machine.ended_at = time.monotonic() - (self.timing.shutdown if state in (1, 2) else 0.0)
            self.on_end(machine)
        return number

    def _machine(self, user: str, number: int) -> Machine:
        machine = self.machines.get(number)
        if machine is None:
            raise Refuse(NO_EXISTS, f"Error getting virtual machine [{number}].")
        if machine.owner != user:
            raise Refuse(AUTHORIZATION, f"User [2] : Not authorized to perform MANAGE VM [{number}].")
        return machine


_CALLS: dict[str, Callable[..., Any]] = {
    "template.instantiate": FrontEnd.instantiate,
    "template.info": FrontEnd.template_info,
    "templatepool.info": FrontEnd.template_pool,
    "vmpool.infoextended": FrontEnd.vm_pool,
    "vmpool.info": FrontEnd.vm_pool,
    "vm.info": FrontEnd.vm_info,
    "vm.action": FrontEnd.vm_action,
    "system.version": lambda _front, _user: "7.2.0",
}


class _Dispatcher:
    def __init__(self, front: FrontEnd) -> None:
        self._front = front

    def _dispatch(self, method: str, parameters: tuple[Any, ...]) -> list[Any]:
        return self._front.handle(method, parameters)


class _Handler(SimpleXMLRPCRequestHandler):
    rpc_paths = ("/RPC2",)
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        if self.server.front.knobs.down:  # type: ignore[attr-defined]
            self.send_error(503)
        else:
            super().do_POST()


class _Server(ThreadingMixIn, SimpleXMLRPCServer):
    daemon_threads = True
    front: FrontEnd

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away before its answer is what some tests are about."""


def script_of(machine: Machine) -> str:
    """What the guest would run."""
    return base64.b64decode(machine.template["CONTEXT"]["START_SCRIPT_BASE64"]).decode()


def _attributes(extra: str) -> Attributes:
    """Of an extra template: as XML (pyone's nested dictionaries), or `NAME="value"` lines."""
    if not extra.strip():
        return {}
    if extra.lstrip().startswith("<"):
        return {child.tag: _value(child) for child in ElementTree.fromstring(extra)}
    found = re.findall(r'^\s*(\w+)\s*=\s*"((?:[^"\\]|\\.)*)"\s*$', extra, re.M)
    if not found:
        raise Refuse(INTERNAL, "Parse error: syntax error, unexpected $end, expecting VARIABLE")
    return dict(found)


def _value(element: ElementTree.Element) -> Any:
    return {child.tag: _value(child) for child in element} if len(element) else (element.text or "")


def _xml(attributes: Attributes) -> str:
    parts = []
    for name, value in attributes.items():
        for one in value if isinstance(value, list) else [value]:
            inner = _xml(one) if isinstance(one, dict) else f"<![CDATA[{one}]]>"
            parts.append(f"<{name}>{inner}</{name}>")
    return "".join(parts)
