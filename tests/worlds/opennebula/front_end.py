"""The front-end: an XML-RPC server over `machines`, with accounts and tokens, pools, templates and images.

Behaves as was measured on genuine services of 6.10 and 7.2: texts and codes of errors, states and their order, one
NIC as a structure and several as a list, quota and missing rights under one code, "no address left" under a plain one.

    with FrontEnd() as front: front.endpoint
"""

from __future__ import annotations

import base64
import secrets
import threading
import time
from collections.abc import Callable
from socketserver import ThreadingMixIn
from typing import Any
from xml.sax.saxutils import escape
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

from tests.worlds.opennebula.encoding import attributes_of, xml_of
from tests.worlds.opennebula.machines import DONE, Machines
from tests.worlds.opennebula.objects import (
    ACTION,
    ALLOCATE,
    AUTHENTICATION,
    AUTHORIZATION,
    NO_EXISTS,
    Image,
    Knobs,
    Machine,
    Quota,
    Refuse,
    Template,
    Timing,
    User,
)
from tests.worlds.waiting import scaled

_MAX_TOKENS = 10


class FrontEnd(Machines):
    """Listens on loopback from the start; elsewhere too by `listen`."""

    def __init__(self, addresses: int | list[str] = 254, timing: Timing | None = None) -> None:
        super().__init__(addresses, timing)
        self.calls: list[tuple[float, str]] = []
        #: User and secret of each call, for tests of what is used when.
        self.sessions: list[tuple[str, str]] = []
        self._servers: list[tuple[_Server, threading.Thread]] = []
        self.endpoint = self.listen("127.0.0.1")

    def listen(self, host: str, within: Callable[[Callable[[], Any]], Any] = lambda make: make()) -> str:
        """The endpoint there. `within` calls what makes the socket, where it shall be."""
        server: _Server = within(lambda: _Server((host, 0), _Handler, logRequests=False, allow_none=False))
        server.front = self
        server.register_instance(_Dispatcher(self))
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        self._servers.append((server, thread))
        thread.start()
        return f"http://{host}:{server.server_address[1]}/RPC2"

    def __enter__(self) -> FrontEnd:
        return self

    def __exit__(self, *_: object) -> None:
        for server, thread in self._servers:
            server.shutdown()
            server.server_close()
            thread.join(scaled(10))

    def count(self, call: str) -> int:
        return sum(name == call for _, name in self.calls)

    # --- one call ------------------------------------------------------------------------------------

    def handle(self, method: str, parameters: tuple[Any, ...]) -> list[Any]:
        name = method.removeprefix("one.")
        self.calls.append((time.monotonic(), name))
        time.sleep(self.knobs.before.get(name, 0.0))
        try:
            with self.lock:
                user = self._user(str(parameters[0]))
                call = _CALLS.get(name)
                if call is None:
                    return [False, f"[{method}] Method not defined", ALLOCATE]
                if self.knobs.refuse.get(name):
                    raise self.knobs.refuse[name].pop(0)
                answer: list[Any] = [True, call(self, user, *parameters[1:]), 0]
        except Refuse as refused:
            answer = [False, f"[{method}] {refused}", refused.code]
        time.sleep(self.knobs.after.get(name, 0.0))
        return answer

    def _user(self, session: str) -> User:
        name, _, secret = session.partition(":")
        self.sessions.append((name, secret))
        user = self.users.get(name)
        if user is None or not user.may_enter(secret):
            raise Refuse(AUTHENTICATION, "User couldn't be authenticated, aborting call.")
        return user

    # --- accounts ------------------------------------------------------------------------------------

    def login(self, user: User, name: str, token: str, valid: int, _egid: int = -1) -> str:
        if name != user.name:
            raise Refuse(AUTHORIZATION, f"User [{user.id}] : Not authorized to perform MANAGE USER [{name}].")
        if valid == 0:
            if token not in user.tokens:
                raise Refuse(ACTION, "Could not find token: " + token)
            del user.tokens[token]
            return ""
        for old in [each for each, until in user.tokens.items() if until != -1 and until < time.time()]:
            del user.tokens[old]
        if len(user.tokens) >= _MAX_TOKENS:
            raise Refuse(ACTION, "Max number of tokens limit reached.")
        made = token or secrets.token_hex(20)
        user.tokens[made] = -1 if valid == -1 else time.time() + valid
        return made

    def user_info(self, user: User, _number: int = -1, *_: object) -> str:
        quota = self.limit_of(user)
        return (
            f"<USER><ID>{user.id}</ID><GID>{user.group}</GID><GROUPS><ID>{user.group}</ID></GROUPS>"
            f"<GNAME>users</GNAME><NAME>{user.name}</NAME><PASSWORD>x</PASSWORD><AUTH_DRIVER>core</AUTH_DRIVER>"
            f"<ENABLED>1</ENABLED><TEMPLATE/>{self._quota_xml(quota, [user.name])}<DEFAULT_USER_QUOTAS/></USER>"
        )

    def group_info(self, user: User, number: int = -1, *_: object) -> str:
        number = user.group if number == -1 else number
        members = [each for each in self.users.values() if each.group == number]
        ids = "".join(f"<ID>{each.id}</ID>" for each in members)
        quota = self._quota_xml(self.groups.get(number, Quota()), [each.name for each in members])
        return (
            f"<GROUP><ID>{number}</ID><NAME>users</NAME><TEMPLATE/><USERS>{ids}</USERS><ADMINS/>{quota}"
            "<DEFAULT_GROUP_QUOTAS/></GROUP>"
        )

    def _quota_xml(self, quota: Quota, names: list[str]) -> str:
        used = self.used(names)
        limits = {"VMS": quota.vms, "CPU": quota.cpu, "MEMORY": quota.memory}
        vm = "".join(
            f"<{prefix}{name}>{-1 if limit is None or prefix else limit}</{prefix}{name}>"
            f"<{prefix}{name}_USED>{used[name]:g}</{prefix}{name}_USED>"
            for prefix in ("", "RUNNING_")
            for name, limit in limits.items()
        )
        networks = "".join(
            f"<NETWORK><ID>{number}</ID><LEASES>{limit}</LEASES><LEASES_USED>"
            f"{sum(len(self.leases(self.networks[number], name)) for name in names)}</LEASES_USED></NETWORK>"
            for number, limit in quota.leases.items()
        )
        listed = any(limit is not None for limit in limits.values())
        return (
            f"<DATASTORE_QUOTA/><NETWORK_QUOTA>{networks}</NETWORK_QUOTA>"
            f"<VM_QUOTA>{f'<VM>{vm}</VM>' if listed else ''}</VM_QUOTA><IMAGE_QUOTA/>"
        )

    # --- networks ------------------------------------------------------------------------------------

    def network_pool(self, user: User, *_: object) -> str:
        seen = [each for each in self.networks.values() if each.open or each.owner == user.name]
        return f"<VNET_POOL>{''.join(self._network_xml(each.id) for each in seen)}</VNET_POOL>"

    def network_info(self, user: User, number: int, *_: object) -> str:
        network = self.networks.get(number)
        if network is None:
            raise Refuse(NO_EXISTS, f"Error getting virtual network [{number}].")
        if not network.open and network.owner != user.name:
            raise Refuse(AUTHORIZATION, f"User [{user.id}] : Not authorized to perform USE NET [{number}].")
        return self._network_xml(number)

    def _network_xml(self, number: int) -> str:
        network = self.networks[number]
        used = len(self.leases(network))
        return (
            f"<VNET><ID>{number}</ID><UID>0</UID><GID>0</GID><UNAME>{network.owner}</UNAME><GNAME>g</GNAME>"
            f"<NAME>{escape(network.name)}</NAME>{_PERMISSIONS}<CLUSTERS/><BRIDGE>b</BRIDGE><STATE>1</STATE>"
            f"<PREV_STATE>1</PREV_STATE><VN_MAD>dummy</VN_MAD><USED_LEASES>{used}</USED_LEASES><VROUTERS/>"
            f"<UPDATED_VMS/><OUTDATED_VMS/><UPDATING_VMS/><ERROR_VMS/><TEMPLATE/><AR_POOL><AR><AR_ID>0</AR_ID>"
            f"<IP>{network.addresses[0] if network.addresses else '0.0.0.0'}</IP><SIZE>{len(network.addresses)}</SIZE>"
            f"<TYPE>IP4</TYPE><USED_LEASES>{used}</USED_LEASES><LEASES/></AR></AR_POOL></VNET>"
        )

    # --- images --------------------------------------------------------------------------------------

    def image_allocate(self, user: User, text: str, _datastore: int, *_: object) -> int:
        given = attributes_of(text)
        given = given.get("IMAGE", given)
        name = str(given.pop("NAME"))
        if any((each.name, each.owner) == (name, user.name) for each in self.images.values()):
            raise Refuse(ALLOCATE, f"Error allocating a new image. NAME is already taken by IMAGE {name}.")
        number = max(self.images, default=-1) + 1
        kind = {"DATABLOCK": 2}.get(str(given.pop("TYPE", "OS")), 0)
        size, persistent = int(given.pop("SIZE", 1)), given.pop("PERSISTENT", "NO") == "YES"
        self.images[number] = Image(number, name, user.name, persistent, given, size, kind)
        return number

    def image_pool(self, user: User, whose: int = -2, *_: object) -> str:
        seen = [each for each in self.images.values() if whose == -2 or each.owner == user.name]
        return f"<IMAGE_POOL>{''.join(map(self._image_xml, seen))}</IMAGE_POOL>"

    def image_delete(self, user: User, number: int, *_: object) -> int:
        image = self.images.get(number)
        if image is None:
            raise Refuse(NO_EXISTS, f"Error getting image [{number}].")
        if image.owner != user.name:
            raise Refuse(AUTHORIZATION, f"User [{user.id}] : Not authorized to perform MANAGE IMAGE [{number}].")
        if self._users_of(number):
            raise Refuse(ACTION, f"Cannot remove image {number}, there are VMs using it.")
        del self.images[number]
        return number

    def _users_of(self, image: int) -> list[Machine]:
        return [m for m in self.machines.values() if image in m.images and self.state(m)[0] != DONE]

    def _image_xml(self, image: Image) -> str:
        users = self._users_of(image.id)
        state = (8 if image.persistent else 2) if users else 1
        return (
            f"<IMAGE><ID>{image.id}</ID><UID>2</UID><GID>1</GID><UNAME>{image.owner}</UNAME><GNAME>users</GNAME>"
            f"<NAME>{escape(image.name)}</NAME>{_PERMISSIONS}<TYPE>{image.type}</TYPE><DISK_TYPE>0</DISK_TYPE>"
            f"<PERSISTENT>{image.persistent:d}</PERSISTENT><REGTIME>0</REGTIME><MODTIME>0</MODTIME><SOURCE>x</SOURCE>"
            f"<PATH/><FORMAT>raw</FORMAT><FS/><SIZE>{image.size}</SIZE><STATE>{state}</STATE><PREV_STATE>0</PREV_STATE>"
            f"<RUNNING_VMS>{len(users)}</RUNNING_VMS><CLONING_OPS>0</CLONING_OPS><CLONING_ID>-1</CLONING_ID>"
            f"<TARGET_SNAPSHOT>-1</TARGET_SNAPSHOT><DATASTORE_ID>1</DATASTORE_ID><DATASTORE>default</DATASTORE>"
            f"<VMS>{''.join(f'<ID>{m.id}</ID>' for m in users)}</VMS><CLONES/><APP_CLONES/>"
            f"<TEMPLATE>{xml_of(image.attributes)}</TEMPLATE><SNAPSHOTS/></IMAGE>"
        )

    def datastore_pool(self, _user: User, *_: object) -> str:
        stores = ((0, "system", 1), (1, "default", 0), (2, "files", 2))
        return (
            "<DATASTORE_POOL>"
            + "".join(
                f"<DATASTORE><ID>{number}</ID><UID>0</UID><GID>0</GID><UNAME>oneadmin</UNAME><GNAME>oneadmin</GNAME>"
                f"<NAME>{name}</NAME>{_PERMISSIONS}<DS_MAD>fs</DS_MAD><TM_MAD>ssh</TM_MAD><BASE_PATH>/</BASE_PATH>"
                f"<TYPE>{kind}</TYPE><DISK_TYPE>0</DISK_TYPE><STATE>0</STATE><CLUSTERS/><TOTAL_MB>1</TOTAL_MB>"
                f"<FREE_MB>1</FREE_MB><USED_MB>0</USED_MB><IMAGES/><TEMPLATE/></DATASTORE>"
                for number, name, kind in stores
            )
            + "</DATASTORE_POOL>"
        )

    # --- templates -----------------------------------------------------------------------------------

    def template_allocate(self, user: User, text: str) -> int:
        given = attributes_of(text)
        given = given.get("TEMPLATE", given)
        name = str(given.pop("NAME", f"one-{len(self.templates)}"))
        if any((each.name, each.owner) == (name, user.name) for each in self.templates.values()):
            raise Refuse(
                ALLOCATE,
                f"Error allocating a new virtual machine template. NAME is already taken by VMTEMPLATE {name}.",
            )
        return self.add_template(name, given, user.name)

    def template_update(self, user: User, number: int, text: str, append: int = 0) -> int:
        template = self._own_template(user, number)
        given = attributes_of(text)
        given = given.get("TEMPLATE", given)
        given.pop("NAME", None)
        template.attributes = {**template.attributes, **given} if append else given
        return number

    def template_delete(self, user: User, number: int, *_: object) -> int:
        self._own_template(user, number)
        del self.templates[number]
        return number

    def _own_template(self, user: User, number: int) -> Template:
        template = self._template(number)
        if template.owner != user.name:
            raise Refuse(AUTHORIZATION, f"User [{user.id}] : Not authorized to perform MANAGE TEMPLATE [{number}].")
        return template

    def _template(self, number: int) -> Template:
        if number not in self.templates:
            raise Refuse(NO_EXISTS, f"Error getting virtual machine template [{number}].")
        return self.templates[number]

    def template_info(self, _user: User, number: int, *_: object) -> str:
        return _template_xml(self._template(number))

    def template_pool(self, _user: User, *_: object) -> str:
        return f"<VMTEMPLATE_POOL>{''.join(map(_template_xml, self.templates.values()))}</VMTEMPLATE_POOL>"

    # --- machines ------------------------------------------------------------------------------------

    def vm_pool(self, user: User, whose: int, *_: object) -> str:
        seen = [m for m in self.machines.values() if whose == -2 or m.owner == user.name]
        return f"<VM_POOL>{''.join(self._vm_xml(m) for m in seen if self.state(m)[0] != DONE)}</VM_POOL>"

    def vm_info(self, user: User, number: int, *_: object) -> str:
        return self._vm_xml(self.machine(user, number))

    def vm_update(self, user: User, number: int, text: str, append: int = 0) -> int:
        machine = self.machine(user, number)
        machine.user_template = {**(machine.user_template if append else {}), **attributes_of(text)}
        return number

    def _vm_xml(self, machine: Machine) -> str:
        state, lcm = self.state(machine)
        notes = dict(machine.user_template)
        if state == 1 and self.knobs.no_capacity:
            notes["SCHED_MESSAGE"] = "Sat Nov 21 2026: [HOST] Not enough CPU on hosts: 0,1"
        template = {**machine.template, "TEMPLATE_ID": str(machine.template_id), "VMID": str(machine.id)}
        ended = 0 if machine.ended_at is None else int(time.time())
        return (
            f"<VM><ID>{machine.id}</ID><UID>2</UID><GID>1</GID><UNAME>{machine.owner}</UNAME><GNAME>users</GNAME>"
            f"<NAME>{escape(machine.name)}</NAME><LAST_POLL>0</LAST_POLL><STATE>{state}</STATE>"
            f"<LCM_STATE>{lcm}</LCM_STATE><PREV_STATE>{state}</PREV_STATE><PREV_LCM_STATE>{lcm}</PREV_LCM_STATE>"
            f"<RESCHED>0</RESCHED><STIME>1</STIME><ETIME>{ended}</ETIME><DEPLOY_ID></DEPLOY_ID><MONITORING/>"
            f"<TEMPLATE>{xml_of(template)}</TEMPLATE><USER_TEMPLATE>{xml_of(notes)}</USER_TEMPLATE>"
            f"<HISTORY_RECORDS>{_history_xml(machine)}</HISTORY_RECORDS></VM>"
        )


_PERMISSIONS = "<PERMISSIONS>" + "".join(
    f"<{who}_{what}>{int(who == 'OWNER')}</{who}_{what}>" for who in ("OWNER", "GROUP", "OTHER") for what in "UMA"
) + "</PERMISSIONS>"  # fmt: skip


def _template_xml(template: Template) -> str:
    return (
        f"<VMTEMPLATE><ID>{template.id}</ID><UID>2</UID><GID>1</GID><UNAME>{template.owner}</UNAME>"
        f"<GNAME>users</GNAME><NAME>{escape(template.name)}</NAME>{_PERMISSIONS}<REGTIME>0</REGTIME>"
        f"<TEMPLATE>{xml_of(template.attributes)}</TEMPLATE></VMTEMPLATE>"
    )


def _history_xml(machine: Machine) -> str:
    """Where it runs: a record once a host has taken it."""
    if not machine.placed:
        return ""
    return (
        f"<HISTORY><OID>{machine.id}</OID><SEQ>0</SEQ><HOSTNAME>node0</HOSTNAME><HID>0</HID><CID>0</CID>"
        "<STIME>1</STIME><ETIME>0</ETIME><VM_MAD>kvm</VM_MAD><TM_MAD>ssh</TM_MAD><DS_ID>0</DS_ID><PSTIME>1</PSTIME>"
        "<PETIME>1</PETIME><RSTIME>1</RSTIME><RETIME>0</RETIME><ESTIME>0</ESTIME><EETIME>0</EETIME><ACTION>0</ACTION>"
        "<UID>-1</UID><GID>-1</GID><REQUEST_ID>-1</REQUEST_ID></HISTORY>"
    )


_CALLS: dict[str, Callable[..., Any]] = {
    "template.instantiate": FrontEnd.instantiate,
    "template.allocate": FrontEnd.template_allocate,
    "template.update": FrontEnd.template_update,
    "template.delete": FrontEnd.template_delete,
    "template.info": FrontEnd.template_info,
    "templatepool.info": FrontEnd.template_pool,
    "image.allocate": FrontEnd.image_allocate,
    "image.delete": FrontEnd.image_delete,
    "imagepool.info": FrontEnd.image_pool,
    "datastorepool.info": FrontEnd.datastore_pool,
    "vmpool.infoextended": FrontEnd.vm_pool,
    "vmpool.info": FrontEnd.vm_pool,
    "vm.info": FrontEnd.vm_info,
    "vm.action": FrontEnd.act,
    "vm.update": FrontEnd.vm_update,
    "vm.attachnic": FrontEnd.attach,
    "vm.detachnic": FrontEnd.detach,
    "user.login": FrontEnd.login,
    "user.info": FrontEnd.user_info,
    "group.info": FrontEnd.group_info,
    "vnpool.info": FrontEnd.network_pool,
    "vn.info": FrontEnd.network_info,
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
    """What the machine would run."""
    return base64.b64decode(machine.template["CONTEXT"]["START_SCRIPT_BASE64"]).decode()


__all__ = ["FrontEnd", "Knobs", "Machine", "Quota", "Refuse", "Timing", "script_of"]
