"""The host of a boss: what an operator types there, and what its boss answers over the network."""

from __future__ import annotations

import json
from typing import Any

from tests.worlds.hosts.host import AGENT, HOME, PYTHON, Host
from tests.worlds.hosts.network import Network
from tests.worlds.looking import Question, answer_of, boss_on

#: Where the user works, and the state directory there.
SITE = f"{HOME}/site"
STATE = f"{SITE}/.ecloud"


class BossHost:
    """What systems of a boss and other hosts have in common."""

    net: Network
    boss: Host
    #: The folder that the boss runs from.
    agent = AGENT

    def environment(self) -> dict[str, str]:
        return {"ECLOUD_HOME": STATE}

    def type(self, script: str, *arguments: str, seconds: float = 60.0, check: bool = True) -> str:
        """A command of the checkout, to its end: what it printed. Raises HostFault if it fails (`check`)."""
        typed = [PYTHON, "-P", f"{self.agent}/{script}", *arguments]
        return self.boss.run(typed, folder=SITE, seconds=seconds, check=check, **self.environment())

    def admin(self, *arguments: str, seconds: float = 60.0, check: bool = True) -> str:
        return self.type("admin.py", *arguments, seconds=seconds, check=check)

    def asked(self, *arguments: str) -> Any:
        """What an admin command says with --json."""
        return json.loads(self.admin(*arguments, "--json"))

    def look(self, question: Question) -> Any:
        """What the boss answers, asked over the network: for what is waited for."""
        return answer_of(boss_on(self.net, self.boss, STATE), question)
