"""Does the boss answer HTTP at the address that this machine knows? What its clock says comes along."""

from __future__ import annotations

import email.utils
import http.client
import urllib.error
import urllib.request

from worker.debug.finding import Finding

SECONDS = 5.0


def look_at_boss(url: str) -> tuple[Finding, float | None]:
    """And its clock in seconds since 1970, if known. Without a token: that it refuses is answer enough."""
    name, did = f"boss address {url}", f"GET {url}/openapi.json"
    remedy = (
        "start the boss; let it listen on this network (its setting http_host); look for a firewall between; check "
        "boss_address in its settings"
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/openapi.json", timeout=SECONDS) as answer:
            headers = answer.headers
    except urllib.error.HTTPError as error:
        with error:
            headers = error.headers
        if error.code not in (401, 403, 429):
            sentence = f"what answers there is no boss: {error.code} {error.reason}"
            return Finding(name, "FAILED", sentence, remedy, did), None
        if error.code == 403:
            sentence = "it is not called so: the address is none of its names"
            return Finding(name, "FAILED", sentence, "set boss_address in its settings to this name", did), None
    except (OSError, ValueError, http.client.HTTPException) as error:
        sentence = str(getattr(error, "reason", None) or error)
        return Finding(name, "FAILED", sentence, remedy, did), None
    return Finding(name, "ok", did=did), _time(headers.get("date", ""))


def _time(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None
