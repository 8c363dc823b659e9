"""Does the boss answer HTTP at the address that this machine knows? What its clock says comes along."""

from __future__ import annotations

import email.utils
import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass

from worker.debug.finding import Finding

SECONDS = 5.0


@dataclass(frozen=True)
class BossAnswer:
    finding: Finding
    #: Its clock, seconds since 1970, to the second; None: unknown.
    time: float | None = None


def look_at_boss(url: str) -> BossAnswer:
    """Without a token: that it refuses is answer enough."""
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
            return BossAnswer(Finding(name, "FAILED", sentence, remedy, did))
        if error.code == 403:
            sentence = "it is not called so: the address is none of its names"
            return BossAnswer(Finding(name, "FAILED", sentence, "set boss_address in its settings to this name", did))
    except (OSError, ValueError, http.client.HTTPException) as error:
        sentence = str(getattr(error, "reason", None) or error)
        return BossAnswer(Finding(name, "FAILED", sentence, remedy, did))
    return BossAnswer(Finding(name, "ok", did=did), _time(headers.get("date", "")))


def _time(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None
