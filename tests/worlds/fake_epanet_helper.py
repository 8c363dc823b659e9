"""A stand-in for `python -m worker.epanet`: speaks its protocol and does what `options.do` says, without EPANET."""

from __future__ import annotations

import json
import os
import signal
import sys
import time


def say(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


for line in sys.stdin:
    request = json.loads(line)
    do = request["run"].get("options", {}).get("do")
    sys.stderr.write(f"working in {request['directory']}\n")
    sys.stderr.flush()
    say({"progress": 0.5})
    if do == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if do == "hang":
        time.sleep(1000)
    if do == "slow":
        time.sleep(0.5)
    if do == "fail":
        say({"ended": "failed", "reason": "bad network", "exit_code": 4})
        continue
    rows = request["run"].get("scenarios", [])
    say({"ended": "succeeded", "reason": "", "exit_code": 0, "figures": {"pid": os.getpid(), "rows": len(rows)}})
