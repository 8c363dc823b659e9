"""The agent's login at the broker: had once for the start token, kept on this machine's disk for its later starts."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping

from worker.bootstrap.account import Account
from worker.bootstrap.bootstrap import (
    API,
    BootstrapRefusedError,
    BossAwayError,
    Places,
    ask,
    mark,
    read_json,
    write_private,
)

KEPT = "login.json"
_MAX_BYTES = 1024 * 1024


#: The agent's environment variables; secrets are in files that these name.
Login = dict[str, str]


def kept_login(context: Mapping[str, str], where: Places) -> Login | None:
    """That of an earlier start of this very instance."""
    kept = read_json(where.settings / KEPT)
    if kept.get("of") != mark(context):
        return None
    if not all((where.settings / name).exists() for name in kept.get("files", [])):
        return None
    return dict(kept["variables"])


def exchange(context: Mapping[str, str], where: Places, account: Account) -> Login:
    """The token for the login, which is kept. The boss gives it once. Raises BossAwayError, BootstrapRefusedError."""
    url = f"{context['ECLOUD_BOSS_URL'].rstrip('/')}{API}/{context['ECLOUD_WORKER_ID']}/login"
    body = json.dumps({"folder": os.fspath(where.settings)}).encode()
    with ask(url, context["ECLOUD_START_TOKEN"], body) as answer:
        try:
            content = json.loads(answer.read(_MAX_BYTES))
            files = {str(name): str(text) for name, text in content["files"].items()}
            variables = {str(name): str(value) for name, value in content["variables"].items()}
        except OSError as error:
            raise BossAwayError(f"{url}: the answer broke off: {error}") from None
        except (ValueError, LookupError, TypeError, AttributeError):
            raise BootstrapRefusedError(f"{url} does not answer as a boss does") from None
    names = [os.path.basename(name) for name in files]
    for name, content in files.items():
        path = where.settings / os.path.basename(name)
        write_private(path, content)
        account.own(path)  # the agent reads them
        if name.endswith(".env"):
            variables |= variables_of(content)
    write_private(where.settings / KEPT, json.dumps({"of": mark(context), "files": names, "variables": variables}))
    return variables


def variables_of(text: str) -> dict[str, str]:
    """Of a file of NAME=value lines, as a shell reads them."""
    found = {}
    for line in text.splitlines():
        name, given, value = line.strip().partition("=")
        if given and not name.startswith("#"):
            found[name] = "".join(shlex.split(value))
    return found
