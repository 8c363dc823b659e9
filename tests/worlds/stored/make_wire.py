"""Makes wire.json of a release, by its own codec: `make_wire.py CHECKOUT FILE`. README.md says what that is.

Run once; what it wrote is never made again.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

KIND = "3.11-x86_64"
FORMER, OF_THE_BOSS = (f"b2:{letter * 64}" for letter in "ab")


def payloads(wire: Any, encode: Any) -> dict[str, str]:
    def of_worker(number: int, *reports: Any, incarnation: str = "cloud-1.1") -> Any:
        return wire.WorkerReports(
            version=wire.VERSION, deployment="d", worker="cloud-1", incarnation=incarnation, number=number, epoch=1,
            confirms=[], reports=list(reports),
        )  # fmt: skip

    def of_datastore(number: int, *reports: Any) -> Any:
        return wire.DatastoreReports(
            version=wire.VERSION, deployment="d", incarnation="store.0", number=number, epoch=1, confirms=[7],
            reports=list(reports),
        )  # fmt: skip

    def to_worker(number: int, *orders: Any) -> Any:
        return wire.WorkerOrders(
            version=wire.VERSION, deployment="d", receiver="cloud-1.1", epoch=2, number=number, orders=list(orders)
        )

    held = [
        wire.InHand(task=1, attempt=1, phase="executing"),
        wire.InHand(task=2, attempt=1, phase="ended"),
    ]
    idle = {"pool": "cloud", "slots": 2, "place": wire.Place(path="/homes/cloud-1"), "bundle": f"{KIND}={FORMER}"}
    replace = wire.Replace(kind=KIND, digest=OF_THE_BOSS, url="http://boss/bundle", token="t0ken")
    messages = {
        "hello": of_worker(1, wire.WorkerHello(**idle)),
        "hello_executing": of_worker(
            1,
            wire.WorkerHello(**idle, in_hand=held),
            wire.Outcome(task=2, attempt=1, ended="succeeded"),
        ),
        "heartbeat": of_worker(2, wire.Heartbeat(progress=[(1, 1, 0.5)], disk_free=7)),
        "presence": wire.Presence(
            version=wire.VERSION, deployment="d", name="cloud-1", incarnation="cloud-1.1", online=True
        ),
        "datastore_hello": of_datastore(1, wire.DatastoreHello(disk_free=7)),
        "datastore_heartbeat": of_datastore(2, wire.DatastoreHeartbeat(disk_free=7, warning="the disk is full")),
        "order_say_hello": to_worker(1, wire.SayHello()),
        "order_stop": to_worker(1, wire.Stop()),
        "order_replace": to_worker(2, replace),
    }
    return {name: encode(message).decode() for name, message in messages.items()}


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    made = payloads(importlib.import_module("wire.messages"), importlib.import_module("wire.codec").encode)
    Path(sys.argv[2]).write_text(json.dumps(made, indent=1) + "\n")
