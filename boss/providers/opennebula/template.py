"""What an instance is made from: the site's template, with our marks and context. Pure.

An attribute that is given with a call replaces the template's attribute of that name whole: so the template's own
context goes along in ours. Scripts go in base64 only, because OpenNebula expands `$` in a context; so does each
variable that has a `$`.
"""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping

from boss.providers.opennebula.machines import DEPLOY, DEPLOYMENT, INSTANCE, POOL, ROLE, WORKER, owner_and_name

#: Would be taken instead of, or beside, ours.
_REPLACED = ("START_SCRIPT", "START_SCRIPT_BASE64")


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
    if not before:
        return script
    first, _, rest = script.partition("\n")
    if not first.startswith("#!"):
        first, rest = "#!/bin/sh", script
    return f"{first}\n{''.join(before)}{rest}"


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
