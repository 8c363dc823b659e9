"""A user's machine, a cloud of real hosts, and a deploy between them: what the tests of deploy and teardown share.

The boss that is deployed is a stand-in of one file, which answers `status` and nothing else: the deploy does not care.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

import settings
from boss.api.schema import Counts, StatusAnswer
from boss.deploy import made, teardown
from boss.deploy.deploying import DEPLOYED_FILE, Deploy, Deployed
from boss.deploy.record import DeployRecord, opened
from boss.providers.opennebula.client import CloudClient
from boss.providers.opennebula.make import TOKEN_FILE
from tests.worlds.digests import digest
from tests.worlds.opennebula.cloud import Cloud
from tests.worlds.opennebula.objects import Machine

_STATUS = StatusAnswer(
    running=True, workers=0, in_queue=0, available=0, in_progress=0, finished=0, succeeded=0, failed=0, cancelled=0,
    counts=Counts(), hindrances=[], broker_connected=True, datastore_connected=False, deployment="d", epoch=1, turn=1,
)  # fmt: skip
STAND_IN = """
import http.server, os, pathlib, tomllib
given = tomllib.loads(pathlib.Path("/etc/ecloud/settings.toml").read_text())
token = pathlib.Path(given["token_file"]).read_text().strip()
assert pathlib.Path(given["opennebula_password_file"]).read_text().strip()
pathlib.Path(os.environ["ECLOUD_HOME"], "started").open("a").write(f"{os.getuid()} VERSION\\n")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        good = self.headers.get("authorization") == f"Bearer {token}"
        body = STATUS if good else b'{"error": "no token or a wrong one"}'
        self.send_response(200 if good else 401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer((given["http_host"], given["http_port"]), Handler).serve_forever()
"""

T = TypeVar("T")


class Killed(BaseException):
    """This process ends here."""


class Clock(made.Clock):
    """What is waited for for minutes takes seconds; with `hurry` time goes so many times as fast besides."""

    def __init__(self, hurry: int) -> None:
        self._began = super().wall()
        self._ahead = 0.0
        self._hurry = hurry

    def wall(self) -> float:
        return self._began + self._hurry * (super().wall() - self._began + self._ahead)

    def sleep(self, seconds: float) -> None:
        super().sleep(min(seconds, 0.1))
        self._ahead += seconds


class User:
    """`folder` is where the user works."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud = cloud
        self.home = folder / ".ecloud"
        self.home.mkdir(parents=True)
        self.bundles = folder / "bundles"
        self.bundles.mkdir()
        self.version = "1"
        #: For what never comes; hosts need real time to come up.
        self.hurry = 1
        self.said: list[str] = []
        self.given: dict[str, object] = {
            "opennebula_endpoint": cloud.endpoint,
            "opennebula_user": "ecloud",
            "opennebula_password": "secret",
            "opennebula_template": "worker",
            "opennebula_network": "private",
        }

    # --- commands ----------------------------------------------------------------------------------

    def deploy(self, *, dies_at: int = 0, **options: bool) -> Deployed:
        """`dies_at`: the process is killed when it says its so manieth line, or makes a call (see `calls`)."""
        left = [dies_at]

        def say(line: str) -> None:
            self.said.append(line)
            left[0] -= 1
            if left[0] == 0:
                raise Killed(line)

        def work() -> Deployed:
            values = self.settings()
            with opened(self.home, values.opennebula_endpoint, values.opennebula_user, make=True) as kept:
                assert kept is not None
                made = Deploy(kept, self.client(), values, self.bundle_for, say, Clock(self.hurry))
                return made.run(self.home, **options)

        return self.cloud.net.inside(work)

    def teardown(self, disk: str = "") -> teardown.TeardownPlan:
        def work() -> teardown.TeardownPlan:
            values = self.settings()
            with opened(self.home, values.opennebula_endpoint, values.opennebula_user, make=False) as kept:
                assert kept is not None
                client = self.client()
                wanted = teardown.plan(client, kept.record.mark, disk)
                teardown.remove(client, kept, wanted, self.said.append, Clock(self.hurry))
                (self.home / DEPLOYED_FILE).unlink(missing_ok=True)
                client.end_login()
                return wanted

        return self.cloud.net.inside(work)

    #: Wraps the client before a deploy uses it.
    wrap: Callable[[CloudClient], CloudClient] = staticmethod(lambda client: client)

    def client(self) -> CloudClient:
        given = self.given
        made = CloudClient(
            str(given["opennebula_endpoint"]), "ecloud", str(given["opennebula_password"]), 2.0, self.home / TOKEN_FILE
        )
        made.keep_login()
        return self.wrap(made)

    def settings(self) -> settings.Settings:
        return settings.load(self.home, self.given, environment={}, system_file=Path("/nonexistent"))

    def bundle_for(self, python: str, machine: str) -> tuple[Path, str]:
        text = STAND_IN.replace("STATUS", repr(msgspec.json.encode(_STATUS))).replace("VERSION", self.version)
        path = self.bundles / f"{self.version}-{python}-{machine}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for name, content in (("boss/__init__.py", ""), ("boss/__main__.py", text)):
                entry = tarfile.TarInfo(name)
                entry.size = len(content.encode())
                archive.addfile(entry, io.BytesIO(content.encode()))
        return path, digest(text.encode())

    # --- looking -----------------------------------------------------------------------------------

    @property
    def record(self) -> DeployRecord:
        return msgspec.json.decode((self.home / "deploy" / "record.json").read_bytes(), type=DeployRecord)

    def bosses(self) -> list[Machine]:
        return [m for m in self.cloud.front.alive() if m.user_template.get("ECLOUD_ROLE") == "boss"]

    def starts(self) -> list[str]:
        """A line for each start of the boss on its machine: user id and version."""
        [machine] = self.bosses()
        return self.cloud.host(machine).path("/var/lib/ecloud/.ecloud/started").read_text().splitlines()
