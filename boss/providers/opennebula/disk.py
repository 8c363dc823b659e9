"""The disk that outlives the datastore's machine: how it gets into the machine, and how the machine mounts it. Pure.

A persistent image is the volume itself: it belongs to one machine at a time and is kept when that machine is ended. The
machine makes a file system only on a disk that has none, and does not go on without the disk: what tasks leave must not
land on one that is thrown away.
"""

from __future__ import annotations

from collections.abc import Mapping

from boss.providers.opennebula.machines import owner_and_name

#: Where the datastore's program keeps its tree and its records.
PLACE = "/var/lib/ecloud"
_LABEL = "ecloud-data"


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
    first, _, rest = script.partition("\n")
    if not first.startswith("#!"):
        first, rest = "#!/bin/sh", script
    return f"{first}\n{MOUNT}{rest}"


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
