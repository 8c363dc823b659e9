"""Templates for the admin of a cloud: filled in from the settings, put into the cloud, compared with it.

Only templates that bear our mark and belong to this account are ever changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import jinja2

from boss.common.plural import plural
from boss.deploy import one_text
from boss.deploy.errors import DeployError
from boss.embedded.environments import ROOT
from boss.embedded.passwords import DATASTORE_LOGIN
from boss.providers.opennebula.client import CloudClient
from boss.providers.opennebula.template import disk_of, nic_of
from wire.codec import MAX_BYTES

#: Those of the cloud, and files for a broker of one's own.
OF_THE_CLOUD = ("worker", "boss", "datastore")
FILES = ("mosquitto.conf", "mosquitto.acl")
MARK = "ECLOUD_TEMPLATE"
#: Which setting names each of them.
SETTINGS = {
    "worker": "opennebula_template",
    "boss": "opennebula_boss_template",
    "datastore": "opennebula_datastore_template",
}
#: Of an MQTT packet, beside the message that it carries.
_PACKET_ROOM = 64 * 1024


def render(name: str, values: Any) -> str:
    """`values`: the settings. Raises DeployError: there is no such template, or the settings lack what it needs."""
    if name not in (*OF_THE_CLOUD, *FILES):
        raise DeployError(f"there is no template {name!r}; there are {', '.join((*OF_THE_CLOUD, *FILES))}")
    if name in OF_THE_CLOUD and not values.opennebula_image:
        raise DeployError(
            "name the image of an operating system in the settings: opennebula_image, such as debian-12 or "
            "oneadmin/debian-12"
        )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    folder = "opennebula/" if name in OF_THE_CLOUD else ""
    return environment.get_template(f"{folder}{name}.j2").render(
        cpus=values.opennebula_cpus,
        memory_mb=math.ceil(values.opennebula_memory_bytes / 1024**2),
        image=values.opennebula_image,
        data=values.opennebula_datastore_disk,
        network=values.opennebula_network,
        disk=_disk,
        card=lambda network: _vector(nic_of(network)),
        port=values.broker_port or (8883 if values.broker_tls_ca else 1883),
        tls=values.broker_tls_ca is not None,
        folder="/etc/mosquitto",
        packet_bytes=MAX_BYTES + _PACKET_ROOM,
        boss=values.broker_username,
        datastore=DATASTORE_LOGIN,
        prefix=values.mqtt_prefix,
    )


def register(client: CloudClient, values: Any, names: Iterable[str]) -> Iterator[str]:
    """Made or brought up to date, a line each. Raises DeployError, CloudError."""
    for name in names:
        text = render(name, values)
        called = _called(text)
        there = _found(client, name, called)
        if there is None:
            number = client.make_template(text)
            yield f'{called}: made, template {number}. In the settings: {SETTINGS[name]} = "{called}"'
        elif not (changes := _differences(text, there)):
            yield f"{called}: template {there.ID} is as it should be."
        else:
            client.replace_template(int(there.ID), _without_name(text))
            yield f"{called}: template {there.ID} brought up to date ({plural(len(changes), 'line')} differed)."


def diff(client: CloudClient, values: Any, names: Iterable[str]) -> dict[str, list[str]]:
    """Name -> what differs, a line each; empty: nothing. Raises DeployError, CloudError."""
    found = {}
    for name in names:
        text = render(name, values)
        there = _found(client, name, _called(text))
        found[name] = (
            ["it is not in the cloud: admin.py templates register"] if there is None else _differences(text, there)
        )
    return found


def _found(client: CloudClient, name: str, called: str) -> Any | None:
    """pyone's template of ours. Raises DeployError: another user's has the name."""
    named = [each for each in client.templates() if called == each.NAME and client.user == each.UNAME]
    if not named:
        return None
    if (named[0].TEMPLATE or {}).get(MARK) != name:
        raise DeployError(
            f"the account has a template {called!r} (number {named[0].ID}) that is none of ours: it does not say "
            f'{MARK} = "{name}". Rename it, or put that line into it to let it be replaced'
        )
    return named[0]


def _differences(text: str, there: Any) -> list[str]:
    """`- what the cloud has`, `+ what it should be`."""
    wanted = one_text.flat(one_text.parse(_without_name(text)))
    has = one_text.flat({key: value for key, value in (there.TEMPLATE or {}).items() if key != "NAME"})
    lines = []
    for key in sorted({*wanted, *has}):
        if wanted.get(key) != has.get(key):
            lines += [f"- {key} = {one_text.quoted(has[key])}"] if key in has else []
            lines += [f"+ {key} = {one_text.quoted(wanted[key])}"] if key in wanted else []
    return lines


def _called(text: str) -> str:
    return str(one_text.parse(text)["NAME"])


def _without_name(text: str) -> str:
    """A template that is there keeps its name: it is no attribute then."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("NAME "))


def _disk(image: str) -> str:
    """The inner of DISK: a name, owner/name, or a number."""
    return _vector({"IMAGE_ID": image} if image.isdigit() else disk_of(image))


def _vector(values: dict[str, str]) -> str:
    return ", ".join(f"{name} = {one_text.quoted(value)}" for name, value in values.items())
