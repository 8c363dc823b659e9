"""Calls to OpenNebula that end, and errors that say what they mean.

pyone's own timeout does nothing (its transport opens sockets without one), so the transport is replaced by one whose
requests have a limit for connecting and for answering, and that does not follow the environment's proxies.
"""

from __future__ import annotations

import re
import threading
import xmlrpc.client
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyone
import pyone.server_xrpc
import requests

from boss.providers.opennebula import errors, quotas
from boss.providers.opennebula.errors import CloudError
from boss.providers.opennebula.login import CloudLogin
from boss.providers.opennebula.machines import CloudMachine, address_of, machine_of

_OF_SYSTEM = re.compile(r"\[Errno -?[0-9]+\] ([^'\")>]+)")
#: Seconds.
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 30.0


class CloudClient:
    """One account at one front-end. Any thread may call; every call raises CloudError, and only that."""

    def __init__(
        self,
        endpoint: str,
        user: str,
        password: str,
        answer_seconds: float = ANSWER_SECONDS,
        token_file: Path | None = None,
    ) -> None:
        """`password` may be a login token. `token_file`: calls are made with a token that is kept there."""
        self.endpoint = endpoint
        self.user = user
        self._password = password
        self._answer_seconds = answer_seconds
        self._servers: dict[str, Any] = {}
        self._login: CloudLogin | None = None
        if token_file is not None:
            self._login = CloudLogin((endpoint, user), password, token_file, self._make_token, self._drop_token)

    # --- tokens ----------------------------------------------------------------------------------------

    def keep_login(self) -> None:
        """Now and then: the token is made or renewed if it is time. CloudError `login`: what was given is refused."""
        if self._login is not None:
            self._login.keep()

    def end_login(self) -> None:
        """The token that calls were made with is taken back: nothing of it is left at the front-end."""
        if self._login is not None:
            self._login.end()

    def make_token(self, seconds: int) -> str:
        """One more, for another program."""
        return str(self._asked(lambda one: one.user.login(self.user, "", seconds, -1)))

    def drop_token(self, token: str) -> None:
        """One that is there no more is no error."""
        self._asked(lambda one: _drop(one, self.user, token))

    def accepts(self, token: str) -> bool:
        """Whether calls may be made with it. Raises CloudError, but for `login`."""
        try:
            self._call(lambda _: self._server(token).user.info(-1))
        except CloudError as error:
            if error.kind != "login":
                raise
            return False
        return True

    def _make_token(self, secret: str, seconds: int) -> str:
        return str(self._call(lambda _: self._server(secret).user.login(self.user, "", seconds, -1)))

    def _drop_token(self, secret: str, token: str) -> None:
        self._call(lambda _: _drop(self._server(secret), self.user, token))

    @property
    def secret(self) -> str:
        """What calls are made with at present."""
        return self._password if self._login is None else self._login.secret

    # --- machines --------------------------------------------------------------------------------------

    def machines(self, deployment: str) -> list[CloudMachine]:
        """All of the account's machines with this deployment's mark, but those that are done."""
        return [machine for machine in self.all_machines() if machine.deployment == deployment]

    def all_machines(self) -> list[CloudMachine]:
        """Of this account, but those that are done."""
        found = self._asked(lambda one: one.vmpool.infoextended(-3, -1, -1, -1)).VM
        return [
            machine_of(int(vm.ID), int(vm.STATE), int(vm.LCM_STATE), vm.TEMPLATE or {}, vm.USER_TEMPLATE or {}, vm.NAME)
            for vm in found
        ]

    def machine(self, number: int) -> Any:
        """pyone's machine."""
        return self._asked(lambda one: one.vm.info(number))

    def address(self, number: int) -> str:
        """Of its first network interface."""
        return address_of(self.machine(number).TEMPLATE or {})

    def instantiate(self, template: int, name: str, extra: Mapping[str, Mapping[str, object]]) -> int:
        """The new machine's id. CloudError `unclear`: it may have been made."""
        return int(self._asked(lambda one: one.template.instantiate(template, name, False, dict(extra), False)))

    def terminate(self, machine: int, *, hard: bool = True) -> None:
        """At once, or politely (`hard` False). A machine that is done is no error. Returns when the call is taken.
        CloudError `state`: try again later.
        """
        self._asked(lambda one: one.vm.action("terminate-hard" if hard else "terminate", machine))

    def attach(self, machine: int, nic: Mapping[str, str]) -> None:
        """One more network interface; it is there when the machine runs again. CloudError `state`: try again later."""
        self._asked(lambda one: one.vm.attachnic(machine, {"TEMPLATE": {"NIC": dict(nic)}}))

    def detach(self, machine: int, nic: int) -> None:
        """Remove this network interface, by its NIC_ID; it is gone when the machine runs again. CloudError `state`: try
        again later.
        """
        self._asked(lambda one: one.vm.detachnic(machine, nic))

    # --- templates, images, networks -------------------------------------------------------------------

    def template(self, template: int) -> Mapping[str, object]:
        """TEMPLATE of a site's template."""
        found: Mapping[str, object] = self._asked(lambda one: one.template.info(template)).TEMPLATE or {}
        return found

    def template_id(self, name: str) -> int:
        """The template's number, by its name, or by the number in digits, which is not looked up. CloudError `missing`:
        there is none of that name, or several.
        """
        if name.isdigit():
            return int(name)
        ids = [each.ID for each in self.templates() if name == each.NAME]
        if len(ids) == 1:
            return int(ids[0])
        several = f"there are {len(ids)} templates {name!r}: use the number of one" if ids else ""
        raise CloudError("missing", several or f"there is no template {name!r}, or this account may not see it")

    def templates(self) -> list[Any]:
        """pyone's templates that this account may see."""
        return list(self._asked(lambda one: one.templatepool.info(-2, -1, -1)).VMTEMPLATE)

    def make_template(self, text: str) -> int:
        """The new template's number. `text`: in OpenNebula's template syntax."""
        return int(self._asked(lambda one: one.template.allocate(text)))

    def replace_template(self, number: int, text: str) -> None:
        """Put `text` (OpenNebula's template syntax) in the place of all that the template says."""
        self._asked(lambda one: one.template.update(number, text, 0))

    def images(self) -> list[Any]:
        """pyone's images of this account."""
        return list(self._asked(lambda one: one.imagepool.info(-3, -1, -1)).IMAGE)

    def make_image(self, text: str) -> int:
        """The new image's number; in the first datastore for images that the account may see. `text`: in OpenNebula's
        template syntax. CloudError `missing`: it sees none.
        """
        stores = self._asked(lambda one: one.datastorepool.info()).DATASTORE
        number = next((store.ID for store in stores if int(store.TYPE) == 0), None)
        if number is None:
            raise CloudError("missing", "this account sees no datastore for images: ask the cloud's administrator")
        return int(self._asked(lambda one: one.image.allocate(text, number)))

    def drop_image(self, number: int) -> None:
        """Delete this image. Returns when the call is taken."""
        self._asked(lambda one: one.image.delete(number))

    def bounds(self, network: str, own: Mapping[str, object]) -> list[quotas.Bound]:
        """What limits the number of machines. `network` as the settings name it; `own`: TEMPLATE of one machine."""
        return quotas.bounds(self._asked, network, own)

    # --- one call --------------------------------------------------------------------------------------

    def _asked(self, call: Callable[[Any], Any]) -> Any:
        """With the secret of the moment; once more with what was given where a token is refused."""
        try:
            return self._call(call)
        except CloudError as error:
            if error.kind != "login" or self._login is None or not self._login.refused():
                raise
            return self._call(call)

    def _server(self, secret: str) -> Any:
        server = self._servers.get(secret)
        if server is None:
            server = pyone.OneServer(self.endpoint, session=f"{self.user}:{secret}", protocol="xmlrpc")
            transport = _Transport((CONNECT_SECONDS, self._answer_seconds))
            transport.set_https(self.endpoint.startswith("https"))
            transport.set_https_verify(True)
            server._ServerProxy__transport = transport
            self._servers = {secret: server}  # the former secret is not used again
        return server

    def _call(self, call: Callable[[Any], Any]) -> Any:
        try:
            return call(self._server(self.secret))
        except CloudError:
            raise
        except pyone.OneException as error:
            raise errors.of_answer(type(error).__name__, str(error), self.endpoint) from None
        except requests.exceptions.ConnectTimeout:
            raise CloudError("away", f"{self.endpoint} does not answer") from None
        except requests.exceptions.ConnectionError as error:
            kind: errors.Kind = "away" if "NewConnectionError" in repr(error) else "unclear"
            raise CloudError(kind, f"{self.endpoint} cannot be reached ({_cause(error)})") from None
        except requests.exceptions.Timeout:
            late = f"{self.endpoint} did not answer in time, which is {self._answer_seconds:g} s"
            raise CloudError("unclear", late) from None
        except requests.exceptions.RequestException as error:
            raise CloudError("unclear", f"{self.endpoint} gave no whole answer ({_cause(error)})") from None
        except xmlrpc.client.ProtocolError as error:
            said = f"{self.endpoint} answers with HTTP {error.errcode} ({error.errmsg})"
            # What is behind it is away for a while, or the address is another one.
            question = "" if error.errcode >= 500 else ": is it the XML-RPC address (.../RPC2)?"
            raise CloudError("unclear", said + question) from None
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


def _drop(one: Any, user: str, token: str) -> None:
    try:
        one.user.login(user, token, 0, -1)
    except IndexError:
        pass  # the answer is an empty text, at whose first letter pyone looks
    except pyone.OneActionException as error:
        if "Could not find token" not in str(error):
            raise


def _cause(error: Exception) -> str:
    """The system's own words, where the libraries' stand around them."""
    text = " ".join(str(error).split())
    found = _OF_SYSTEM.search(text)
    return found[1] if found else text[:200] or type(error).__name__
