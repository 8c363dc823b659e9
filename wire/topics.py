"""Where messages travel: the topic names, and back from a name to who it belongs to. Pure."""

from __future__ import annotations

import re

#: What a worker id may look like: it becomes a topic level, a directory, an MQTT login, a host alias.
WORKER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")


class Topics:
    """The topics of one deployment's prefix."""

    def __init__(self, prefix: str = "ecloud") -> None:
        if (
            not prefix
            or re.search(r"[+#\x00-\x20\x7f]", prefix)
            or prefix.startswith(("/", "$"))
            or prefix.endswith("/")
        ):
            raise ValueError(
                f"mqtt_prefix {prefix!r} cannot be a topic: no '+', '#', blanks, leading or trailing '/', leading '$'"
            )
        self.prefix = prefix
        self.boss_presence = f"{prefix}/boss/presence"
        self.datastore_orders = f"{prefix}/datastore/orders"
        self.datastore_reports = f"{prefix}/datastore/reports"
        self.datastore_presence = f"{prefix}/datastore/presence"
        #: Subscriptions of the boss: every worker.
        self.all_reports = f"{prefix}/workers/+/reports"
        self.all_presences = f"{prefix}/workers/+/presence"

    def orders(self, worker: str) -> str:
        return f"{self.prefix}/workers/{worker}/orders"

    def reports(self, worker: str) -> str:
        return f"{self.prefix}/workers/{worker}/reports"

    def presence(self, worker: str) -> str:
        return f"{self.prefix}/workers/{worker}/presence"

    def output(self, worker: str) -> str:
        return f"{self.prefix}/workers/{worker}/output"

    def worker_of(self, topic: str) -> str | None:
        """The worker whose topic this is, or None. What a worker says in a payload must agree with it."""
        start = f"{self.prefix}/workers/"
        if not topic.startswith(start):
            return None
        worker, _, rest = topic[len(start) :].partition("/")
        return worker if rest in ("orders", "reports", "presence", "output") and WORKER_ID.match(worker) else None
