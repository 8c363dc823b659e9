"""The environment of the programs that a boss starts beside itself: of the datastore and of a local worker.

Values only; the same variables stand in the files that `admin.py login` makes for programs on other hosts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from wire.tls import TlsOptions

#: Names of variables whose values no program gets that has no use for them.
_SECRET = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|KEY|AUTH|COOKIE|_DSN|DATABASE|PROXY", re.IGNORECASE)
#: The folder that holds the packages: children are started with it.
ROOT = Path(__file__).resolve().parents[2]


def at_broker(host: str, port: int, mqtt_prefix: str, deployment: str) -> dict[str, str]:
    """Where the broker is, and whose messages are ours."""
    return {
        "ECLOUD_BROKER_HOST": host,
        "ECLOUD_BROKER_PORT": str(port),
        "ECLOUD_MQTT_PREFIX": mqtt_prefix,
        "ECLOUD_DEPLOYMENT": deployment,
    }


def of_a_child(variables: Mapping[str, str], tls: TlsOptions | None) -> dict[str, str]:
    """The user's own environment goes along: tasks of a laptop may count on it."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith("ECLOUD_")}
    path = os.pathsep.join(filter(None, [os.fspath(ROOT), keep.get("PYTHONPATH", "")]))
    files = {} if tls is None else {"CA": tls.ca_file, "CERT": tls.certificate_file, "KEY": tls.key_file}
    of_tls = {f"ECLOUD_BROKER_TLS_{word}": os.fspath(file) for word, file in files.items() if file is not None}
    return {**keep, **variables, **of_tls, "PYTHONPATH": path}


def of_the_broker() -> dict[str, str]:
    """Where its packages are, and what it takes to run: nothing of ours, and nothing that looks like a secret. Whoever
    gets into the broker gets no further by what stands there."""
    variables = of_a_child({}, None)
    return {name: value for name, value in variables.items() if not _SECRET.search(name)}
