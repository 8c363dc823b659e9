"""Calls to OpenNebula that end, and errors that say what they mean.

pyone's own timeout does nothing (its transport opens sockets without one), so the transport is replaced by one whose
requests have a limit for connecting and for answering, and that does not follow the environment's proxies.
"""

from __future__ import annotations

import threading
import xmlrpc.client
from collections.abc import Callable, Mapping
from typing import Any

import pyone
import pyone.server_xrpc
import requests

from boss.cloud.opennebula import faults
from boss.cloud.opennebula.faults import CloudError
from boss.cloud.opennebula.machines import Machine, machine_of

#: Seconds.
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 30.0


class Client:
    """One account at one front-end. Any thread may call; every call raises CloudError, and only that."""

    def __init__(self, endpoint: str, user: str, password: str, answer_seconds: float = ANSWER_SECONDS) -> None:
        """`password` may be a login token."""
        self.endpoint = endpoint
        self._server = pyone.OneServer(endpoint, session=f"{user}:{password}", protocol="xmlrpc")
        transport = _Transport((CONNECT_SECONDS, answer_seconds))
        transport.set_https(endpoint.startswith("https"))
        transport.set_https_verify(True)
        self._server._ServerProxy__transport = transport

    def machines(self, deployment: str) -> list[Machine]:
        """All of the account's machines with this deployment's mark, but those that are done."""
        pool = self._call(lambda: self._server.vmpool.infoextended(-3, -1, -1, -1))
        found = [
            machine_of(vm.ID, vm.STATE, vm.LCM_STATE, vm.TEMPLATE or {}, vm.USER_TEMPLATE or {}, deployment)
            for vm in pool.VM
        ]
        return [machine for machine in found if machine is not None]

    def template(self, template: int) -> Mapping[str, object]:
        """TEMPLATE of a site's template."""
        found: Mapping[str, object] = self._call(lambda: self._server.template.info(template)).TEMPLATE or {}
        return found

    def template_id(self, name: str) -> int:
        """By name, or by number in digits."""
        if name.isdigit():
            return int(name)
        pool = self._call(lambda: self._server.templatepool.info(-2, -1, -1))
        ids = [each.ID for each in pool.VMTEMPLATE if name == each.NAME]
        if len(ids) == 1:
            return int(ids[0])
        several = f"there are {len(ids)} templates {name!r}: use the number of one" if ids else ""
        raise CloudError("missing", several or f"there is no template {name!r}, or this account may not see it")

    def instantiate(self, template: int, name: str, extra: Mapping[str, Mapping[str, object]]) -> int:
        """The new machine's id. CloudError `unclear`: it may have been made."""
        return int(self._call(lambda: self._server.template.instantiate(template, name, False, dict(extra), False)))

    def terminate(self, machine: int) -> None:
        """At once. A machine that is done is no error; CloudError `state`: try again later."""
        self._call(lambda: self._server.vm.action("terminate-hard", machine))

    def version(self) -> str:
        return str(self._call(lambda: self._server.system.version()))

    def _call(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except pyone.OneException as error:
            raise faults.of_answer(type(error).__name__, str(error), self.endpoint) from None
        except requests.exceptions.ConnectTimeout:
            raise CloudError("away", f"{self.endpoint} does not answer; it is tried again") from None
        except requests.exceptions.ConnectionError as error:
            kind: faults.Kind = "away" if "NewConnectionError" in repr(error) else "unclear"
            raise CloudError(kind, f"{self.endpoint} cannot be reached; it is tried again ({_cause(error)})") from None
        except requests.exceptions.RequestException as error:
            raise CloudError("unclear", f"{self.endpoint} did not answer in time ({_cause(error)})") from None
        except xmlrpc.client.ProtocolError as error:
            raise CloudError(
                "unclear", f"{self.endpoint} answers with HTTP {error.errcode}: is it the XML-RPC address (.../RPC2)?"
            ) from None
        except Exception as error:  # an answer that is no XML-RPC, a page of a proxy
            raise CloudError("unclear", f"{self.endpoint} answers what cannot be read: {_cause(error)}") from None


class _Transport(pyone.server_xrpc.RequestsTransport):
    def __init__(self, timeout: tuple[float, float]) -> None:
        super().__init__()
        self._timeout = timeout
        self._local = threading.local()

    def request(self, host: str, handler: str, request_body: bytes, verbose: bool = False) -> Any:
        url = self._build_url(host, handler)
        answer = self._session().post(
            url, data=request_body, headers=self.headers, timeout=self._timeout, verify=self.https_verify
        )
        if answer.status_code != 200:
            raise xmlrpc.client.ProtocolError(url, answer.status_code, answer.reason, dict(answer.headers))
        return self.parse_response(answer)

    def _session(self) -> requests.Session:
        """One for each thread: they may not be shared."""
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False
        return session


def _cause(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__
