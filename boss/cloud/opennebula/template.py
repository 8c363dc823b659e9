"""What an instance is made from: the site's template, with our marks and context. Pure.

An attribute that is given with a call replaces the template's attribute of that name whole: so the template's own
context goes along in ours. Scripts go in base64 only, because OpenNebula expands `$` in a context.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from boss.cloud.opennebula.machines import DEPLOYMENT, INSTANCE, WORKER

#: Would be taken instead of, or beside, ours.
_REPLACED = ("START_SCRIPT", "START_SCRIPT_BASE64")


def extra_template(
    own: Mapping[str, object],
    context: Mapping[str, str],
    script: str,
    marks: Mapping[str, str],
    network: Mapping[str, str] | None = None,
) -> dict[str, dict[str, object]]:
    """The call's extra template. `own`: TEMPLATE of the site's template; `network`: one card, replacing its own."""
    before = own.get("CONTEXT")
    kept = {
        str(name): "" if value is None else str(value)
        for name, value in (before.items() if isinstance(before, Mapping) else ())
        if name not in _REPLACED
    }
    full = {"NETWORK": "YES", **kept, **context, "START_SCRIPT_BASE64": base64.b64encode(script.encode()).decode()}
    body: dict[str, object] = {**marks, "CONTEXT": full}
    if network:
        body["NIC"] = dict(network)
    return {"TEMPLATE": body}


def marks_of(deployment: str, worker: str, instance: int) -> dict[str, str]:
    return {DEPLOYMENT: deployment, WORKER: worker, INSTANCE: str(instance)}


def own_script(own: Mapping[str, object]) -> str:
    """The start script that the site's template has already; ours runs after it. Empty: it has none."""
    context = own.get("CONTEXT")
    if not isinstance(context, Mapping):
        return ""
    encoded = context.get("START_SCRIPT_BASE64")
    if encoded:
        return base64.b64decode(str(encoded)).decode(errors="replace")
    return str(context.get("START_SCRIPT") or "")
