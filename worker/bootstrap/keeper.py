"""The keeper of an agent: starts it as its user, starts it again when it dies, and does what its exit code asks for.

It runs as root where it can, and never executes what the agent's user could have written: a bundle that the agent
fetched itself is for the agent alone. Under systemd or without it does the same.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from worker.bootstrap.account import Account
from worker.bootstrap.bootstrap import kind, mark, read_json, say
from worker.bootstrap.halt import halt, refusal

#: Exit codes of an agent beside 0 (stopped) and 2 (unusable options).
REPLACED, ORPHANED = 4, 5
#: In the agent's home: bundles that it fetched, and which of them it is to run.
PROGRAMS, CURRENT = "programs", "current.json"
#: One that lived this long did not crash at its start.
STEADY_SECONDS = 30.0
LONGEST_PAUSE = 60.0
#: A replacement that ends at once so often is given up.
REPLACEMENT_TRIES = 3
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass
class AgentKeeper:
    context: Mapping[str, str]
    account: Account
    #: Of the agent's environment: the login's and the machine's own.
    variables: Mapping[str, str]
    home: Path
    #: The bundle that this keeper is part of.
    folder: Path
    evidence: Path
    stopping: int = 0
    agent: subprocess.Popen[bytes] | None = None
    #: Digest of a replacement that was given up.
    given_up: str = ""
    crashes: int = 0

    def run(self) -> int:
        """Until the agent is stopped, or a restart cannot help; the exit code."""
        for number in _STOP_SIGNALS:
            signal.signal(number, lambda number, _: self._stop(number))
        while True:
            folder, bundle = self.program()
            began = time.monotonic()
            code = self._live(folder, bundle)
            if self.stopping or code in (0, 2):
                return code if code in (0, 2) else 0
            if code == ORPHANED and self._halt():
                return 0
            if code == REPLACED:
                say("the agent has fetched the boss's version, which is started")
                self.crashes = 0
                continue
            steady = time.monotonic() - began > STEADY_SECONDS
            self.crashes = 1 if steady else self.crashes + 1
            if folder != self.folder and self.crashes >= REPLACEMENT_TRIES:
                self._give_up(bundle)
            pause = min(2.0 ** (self.crashes - 1), LONGEST_PAUSE)
            say(f"the agent ended with {code}; it is started again in {pause:g} s")
            self._pause(pause)
            if self.stopping:
                return 0

    def program(self) -> tuple[Path, str]:
        """What the agent runs from, and the name of that bundle: one that it fetched, else this keeper's own."""
        current = read_json(self.home / PROGRAMS / CURRENT)
        digest = str(current.get("digest", ""))
        fetched = self.home / PROGRAMS / digest.removeprefix("b2:")
        mine = current.get("of") == mark(self.context) and digest != self.given_up and digest.startswith("b2:")
        if mine and "/" not in digest and (fetched / "worker" / "__main__.py").is_file():
            return fetched, f"{kind()}={digest}"
        own = self.folder.name
        return self.folder, f"{kind()}=b2:{own}" if re.fullmatch("[0-9a-f]{64}", own) else ""

    def _live(self, folder: Path, bundle: str) -> int:
        environment = {
            "PATH": os.environ.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "HOME": os.fspath(self.account.home),
            "USER": self.account.name,
            **self.variables,
            "ECLOUD_BUNDLE": bundle,
            "ECLOUD_GIVEN_UP": self.given_up,
            "PYTHONPATH": os.fspath(folder),
        }
        command = [sys.executable, "-P", "-m", self.context.get("ECLOUD_ROLE") or "worker"]
        root = os.geteuid() == 0
        try:
            self.agent = subprocess.Popen(
                command,
                env=environment,
                cwd=self.account.home,
                stdin=subprocess.DEVNULL,
                user=self.account.uid if root else None,
                group=self.account.gid if root else None,
                extra_groups=[] if root else None,
                umask=0o022,
            )
        except OSError as error:
            say(f"the agent cannot be started: {error}")
            return 1
        if self.stopping:  # the signal came just before there was an agent to pass it on to
            self.agent.send_signal(self.stopping)
        return self.agent.wait()

    def _stop(self, number: int) -> None:
        self.stopping = number
        if self.agent is not None and self.agent.returncode is None:
            self.agent.send_signal(number)

    def _pause(self, seconds: float) -> None:
        """At most until a signal to stop."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        try:
            received = signal.sigtimedwait(_STOP_SIGNALS, seconds) if not self.stopping else None
            if received is not None:
                self.stopping = received.si_signo
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)

    def _give_up(self, bundle: str) -> None:
        self.given_up = bundle.partition("=")[2]
        say(f"the version {bundle} that the agent fetched ends at once: it is given up, the one before is started")

    def _halt(self) -> bool:
        """True: this machine is about to end."""
        why = refusal(self.context, self.evidence, os.geteuid())
        if not why:
            say("cut off from the boss for too long: this machine is halted")
            why = halt(self.context.get("ECLOUD_HALT_COMMAND", ""))
            if not why:
                return True
        say(f"this machine is not halted: {why}")
        return False
