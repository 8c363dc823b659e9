"""`python -m worker.bootstrap SETTINGS`: what a bundle does first on a machine: account, login, then keeping.

Takes over from `worker.bootstrap.bootstrap`, with the lock that it holds.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from worker.bootstrap.account import Account, authorize, ensure_account, ensure_host_keys
from worker.bootstrap.bootstrap import (
    CONTEXT_FILE,
    LOCK_VARIABLE,
    BootstrapRefusedError,
    Places,
    exit_code_of,
    places,
    read_json,
    retry_while_away,
    say,
    take_lock,
)
from worker.bootstrap.keeper import AgentKeeper
from worker.bootstrap.login import Login, exchange, kept_login

#: The bundle that this runs from.
FOLDER = Path(__file__).resolve().parents[2]
#: What the agent gets of the machine's context.
PASSED_ON = (
    "ECLOUD_WORKER_ID", "ECLOUD_DEPLOYMENT", "ECLOUD_INSTANCE", "ECLOUD_POOL", "ECLOUD_LABELS", "ECLOUD_SLOTS",
    "ECLOUD_ORPHAN_AFTER", "ECLOUD_HALT_WHEN_ORPHANED", "ECLOUD_BOSS_URL", "ECLOUD_WORKER_HOME", "ECLOUD_WORKER_PLACE",
    "ECLOUD_WORKER_ADDRESS", "ECLOUD_WORKER_SSH_PORT", "ECLOUD_WORKER_SSH_USER", "ECLOUD_WORKER_SSH_HOST_KEYS",
    "ECLOUD_WORKER_SSH_HOST_KEY",
)  # fmt: skip


def main(settings: Path) -> int:
    if LOCK_VARIABLE not in os.environ and take_lock(settings) is None:
        say("it runs already")
        return 0
    context = {str(name): str(value) for name, value in read_json(settings / CONTEXT_FILE).items()}
    where = places(context)
    try:
        account = ensure_account()
        ensure_host_keys()
        if context.get("ECLOUD_AUTHORIZED_KEYS"):
            authorize(account, context["ECLOUD_AUTHORIZED_KEYS"])
        login = kept_login(context, where)
        if login is None:
            login = retry_while_away(lambda: exchange(context, where, account))
    except (BootstrapRefusedError, KeyError) as error:
        return exit_code_of(error)
    drop_others(where.programs, FOLDER)
    variables = agent_variables(context, login, where)
    if context.get("ECLOUD_ROLE") == "datastore" and variables.get("ECLOUD_DATASTORE_TREE"):
        give(Path(variables["ECLOUD_DATASTORE_TREE"]), account)
    return AgentKeeper(
        context=context,
        account=account,
        variables=variables,
        home=Path(variables["ECLOUD_WORKER_HOME"]),
        folder=FOLDER,
        evidence=settings / CONTEXT_FILE,
    ).run()


def agent_variables(context: Mapping[str, str], login: Login, where: Places) -> dict[str, str]:
    """The login's, overridden by this machine's own context."""
    own = {name: context[name] for name in PASSED_ON if context.get(name)}
    usual = {"ECLOUD_WORKER_HOME": os.fspath(where.state / "worker")}
    if os.geteuid() != 0:
        usual["ECLOUD_DATASTORE_TREE"] = os.fspath(where.state / "data")
        return {**login, **usual, **own}
    return {**usual, **login, **own}


def give(tree: Path, account: Account) -> None:
    """A disk that was just made belongs to root; what is in it is left as it is."""
    tree.mkdir(mode=0o755, parents=True, exist_ok=True)
    if tree.stat().st_uid != account.uid:
        account.own(tree)


def drop_others(programs: Path, folder: Path) -> None:
    """Bundles of instances before this one, on a machine that outlives them; nothing else that may be there."""
    for other in programs.iterdir() if folder.parent == programs else ():
        if re.fullmatch("[0-9a-f]{64}", other.name) and other != folder:
            shutil.rmtree(other, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
