"""What an instance is made from: the site's template, with our marks and context, and the datastore's disk. Pure.

An attribute that is given with a call replaces the template's attribute of that name whole: so the template's own
context goes along in ours. Scripts go in base64 only, because OpenNebula expands `$` in a context; so does each
variable that has a `$`.

The disk outlives the datastore's machine: a persistent image is the volume itself, belongs to one machine at a time and
is kept when that machine is ended. The machine makes a file system only on a disk that has none, and does not go on
without the disk: what tasks leave must not land on one that is thrown away.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping

from boss.providers.opennebula.machines import DEPLOY, DEPLOYMENT, INSTANCE, POOL, ROLE, WORKER, owner_and_name

#: Would be taken instead of, or beside, ours.
_REPLACED = ("START_SCRIPT", "START_SCRIPT_BASE64")
#: Where the datastore's program keeps its tree and its records.
PLACE = "/var/lib/ecloud"
_LABEL = "ecloud-data"


def extra_template(
    own: Mapping[str, object],
    context: Mapping[str, str],
    script: str,
    marks: Mapping[str, str],
    network: Mapping[str, str] | None = None,
) -> dict[str, dict[str, object]]:
    """The call's extra template. `own`: TEMPLATE of the site's template; `network`: one NIC, replacing its own."""
    before = own.get("CONTEXT")
    kept = {
        str(name): "" if value is None else str(value)
        for name, value in (before.items() if isinstance(before, Mapping) else ())
        if name not in _REPLACED
    }
    plain = {name: value for name, value in context.items() if "$" not in value}
    hidden = {name: value for name, value in context.items() if "$" in value}
    whole = start_script(own_script(own), hidden, script)
    full = {"NETWORK": "YES", **kept, **plain, "START_SCRIPT_BASE64": base64.b64encode(whole.encode()).decode()}
    body: dict[str, object] = {**marks, "CONTEXT": full}
    if network:
        body["NIC"] = dict(network)
    return {"TEMPLATE": body}


def start_script(own: str, variables: Mapping[str, str], script: str) -> str:
    """Ours after the template's own, which runs as a program of its own (it may be no shell's) and may fail."""
    before = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    if own:
        encoded = base64.b64encode(own.encode()).decode()
        before.append(_RUN_OWN.format(encoded=encoded))
    return _begun_with("".join(before), script) if before else script


def _begun_with(lines: str, script: str) -> str:
    first, _, rest = script.partition("\n")
    if not first.startswith("#!"):
        first, rest = "#!/bin/sh", script
    return f"{first}\n{lines}{rest}"


_RUN_OWN = """\
# The start script that the template has itself, first.
ecloud_own=$(mktemp) && echo '{encoded}' | base64 -d >"$ecloud_own" && chmod 700 "$ecloud_own" && {{
    "$ecloud_own" || echo "the template's own start script ended with $?" >&2
}}
rm -f "$ecloud_own"
"""


def marks_of(
    deployment: str, worker: str, instance: int, pool: str = "", role: str = "worker", deploy: str = ""
) -> dict[str, str]:
    """Our marks for a machine's USER_TEMPLATE (see `machines`); empty ones are left out."""
    named = {DEPLOYMENT: deployment, POOL: pool, WORKER: worker, INSTANCE: str(instance), ROLE: role, DEPLOY: deploy}
    return {name: value for name, value in named.items() if value}


def nic_of(network: str) -> dict[str, str]:
    """NIC of a network that the settings name: its name, owner/name, or its number. Empty: the template's own."""
    if not network:
        return {}
    if network.isdigit():
        return {"NETWORK_ID": network}
    owner, name = owner_and_name(network)
    return {"NETWORK": name, "NETWORK_UNAME": owner} if owner else {"NETWORK": name}


def own_script(own: Mapping[str, object]) -> str:
    """The start script that the site's template has already; ours runs after it. Empty: it has none. ValueError: it
    cannot be read."""
    context = own.get("CONTEXT")
    if not isinstance(context, Mapping):
        return ""
    encoded = str(context.get("START_SCRIPT_BASE64") or "")
    if encoded.startswith("$"):  # OpenNebula puts the template's attribute of that name there, if it has one
        encoded = str(own.get(encoded[1:]) or "")
    if encoded:
        try:
            return base64.b64decode(encoded).decode(errors="replace")
        except ValueError:
            raise ValueError(
                "the template's CONTEXT has a START_SCRIPT_BASE64 that is no base64: correct it there, or take it out"
            ) from None
    return str(context.get("START_SCRIPT") or "")


# --- the datastore's disk ----------------------------------------------------------------------------


def disks_with(own: Mapping[str, object], image: str) -> dict[str, list[dict[str, str]]]:
    """DISK for the call's extra template; empty: the template (`own`: its TEMPLATE) has the image already.

    `image`: a name, or owner/name.
    """
    before = own.get("DISK")
    several = before if isinstance(before, list) else [before]
    disks = [{str(key): str(value) for key, value in one.items()} for one in several if isinstance(one, Mapping)]
    if any(disk.get("IMAGE") == owner_and_name(image)[1] for disk in disks):
        return {}
    return {"DISK": [*disks, disk_of(image)]}


def disk_of(image: str) -> dict[str, str]:
    """The inner of DISK. `image`: a name, or owner/name."""
    owner, name = owner_and_name(image)
    return {"IMAGE": name, "IMAGE_UNAME": owner} if owner else {"IMAGE": name}


def with_disk(script: str) -> str:
    """A start script that first sees to the disk."""
    return _begun_with(MOUNT, script)


MOUNT = f"""\
# The datastore's disk: the one with our label, else the only one that is blank, which gets it.
ecloud_disk() {{
    if mountpoint -q {PLACE}; then
        return 0
    fi
    tries=0
    while [ $tries -lt 30 ]; do
        device=$(blkid -L {_LABEL} || true)
        if [ -z "$device" ]; then
            blank=
            for each in $(lsblk -dnpo NAME,TYPE,RO | awk '$2 == "disk" && $3 == "0" {{ print $1 }}'); do
                if [ "$(lsblk -npo NAME "$each" | wc -l)" = 1 ] && ! blkid "$each" >/dev/null; then
                    blank="$blank $each"
                fi
            done
            case "$blank" in
            " "*" "*)
                echo "ecloud: several disks are blank ($blank ): put the label {_LABEL} on the right one" >&2
                return 1
                ;;
            " "*) mkfs.ext4 -q -L {_LABEL} $blank && device=${{blank# }} ;;
            esac
        fi
        if [ -n "$device" ]; then
            mkdir -p {PLACE} && mount "$device" {PLACE} && return 0
        fi
        sleep 1
        tries=$((tries + 1))
    done
    echo "ecloud: this machine has no disk for the datastore (label {_LABEL}, or a blank one)" >&2
    return 1
}}
ecloud_disk || exit 1
"""
