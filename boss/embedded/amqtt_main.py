"""The embedded broker where no Mosquitto is installed: `python -m boss.embedded.amqtt_main CONFIGURATION`.

A process of its own. The configuration is a JSON file with host, port, directory (of logins) and max_bytes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any

from amqtt.errors import BrokerError

from boss.embedded.amqtt_access import GuardedBroker

#: What a shutdown may take; nothing would be saved in a longer one.
_SHUTDOWN_SECONDS = 2.0


def main(arguments: list[str]) -> int:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # It calls every client that went away an error, and every late acknowledgement a warning.
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    settings = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    return asyncio.run(_serve(settings))


async def _serve(settings: dict[str, Any]) -> int:
    directory = Path(settings["directory"])
    broker = GuardedBroker(_configuration(settings), directory, settings["max_bytes"])
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # the files are read at every login anyway
    try:
        await broker.start()
    except BrokerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    await stopped.wait()
    try:
        await asyncio.wait_for(broker.shutdown(), _SHUTDOWN_SECONDS)
    except Exception as error:  # it ends in any case
        sys.stderr.write(f"shutdown: {error!r}\n")
    return 0


def _configuration(settings: dict[str, Any]) -> dict[str, Any]:
    directory = settings["directory"]
    return {
        "listeners": {"default": {"type": "tcp", "bind": f"{settings['host']}:{settings['port']}"}},
        "plugins": {
            "boss.embedded.amqtt_access.LoginPlugin": {"directory": directory},
            "boss.embedded.amqtt_access.AccessPlugin": {"directory": directory},
        },
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
