"""What an error of OpenNebula means: its kind, and a sentence with what an operator can do. Pure.

Kinds follow from the class of the exception and its text, because OpenNebula gives quota and missing rights one class,
and "no address left" none (measured on 6.10 and 7.2).
"""

from __future__ import annotations

import re
from typing import Literal

from boss.providers.provider import ProviderError

#: `quota` and `address`: the pool cannot grow at present. `login`, `rights`, `missing`, `refused`: an operator must put
#: something right. `state`, `busy`: not now, try again. `away`: certainly not taken. `unclear`: taken or not, which is
#: unknown.
Kind = Literal["login", "rights", "quota", "address", "missing", "refused", "state", "busy", "away", "unclear"]
#: The pool is full for a reason of the cloud's, and may grow again later.
FULL = frozenset({"quota", "address"})

_QUOTA = re.compile(r"limit of (\S+) reached for (\w+) quota")
_ADDRESS = re.compile(r"Cannot get IP/MAC lease from virtual network (\d+)")
_MISSING = re.compile(r"Error getting (virtual machine template|virtual machine|virtual network|image) \[(\d+)\]")
_NAMED = re.compile(r"does not own an? (network|image) with name: (\S+)|(Image) with ID: (\d+) +does not exist")
_BUSY = re.compile(r"Cannot acquire image (\d+), it is persistent and already in use")
#: "[one.template.instantiate] ", with which an answer begins: which call it was means nothing to users.
_CALL = re.compile(r"^\[one\.[a-z.]+\] ")
_RESTRICTED = re.compile(r"includes a restricted attribute ([A-Z_/0-9]+)")


class CloudError(ProviderError):
    """A call that did not do what it should. The text is a sentence for operators."""

    def __init__(self, kind: Kind, sentence: str) -> None:
        super().__init__(sentence)
        self.kind: Kind = kind


def being_tried(error: CloudError) -> str:
    """The sentence, for who goes on trying."""
    return f"{error}; it is tried again automatically" if error.kind in ("away", "unclear") else str(error)


def of_answer(class_name: str, text: str, endpoint: str) -> CloudError:
    """What the server answered: the name of pyone's exception class, and its text."""
    said = _CALL.sub("", " ".join(text.split()))[:500].rstrip(". ")
    if class_name == "OneAuthenticationException":
        return CloudError("login", f"{endpoint} refuses the login: check opennebula_user and its token or password")
    if found := _QUOTA.search(text):
        return CloudError(
            "quota",
            f"the account's quota is used up: the limit of {found[1]} for {found[2]} is reached. Ask the cloud's "
            "administrator for more, or lower the pool's limit",
        )
    if found := _ADDRESS.search(text):
        return CloudError(
            "address",
            f"no address is left in network {found[1]}. A larger address range, or another network, lets the pool grow",
        )
    if found := _MISSING.search(text):
        return CloudError("missing", f"there is no {found[1]} {found[2]}, or this account may not see it")
    if found := _NAMED.search(text):
        what, name = found[1] or found[3], found[2] or found[4]
        return CloudError(
            "missing", f"there is no {what.lower()} {name!r} of this account; name its owner as well: OWNER/{name}"
        )
    if found := _BUSY.search(text):
        return CloudError(
            "busy",
            f"the persistent image {found[1]} is still in use by another machine: it is tried again until that one is "
            "gone. If it is none of ours, end it, or name another image",
        )
    if "onegate endpoint was not defined" in text:
        return CloudError(
            "refused",
            'the template\'s CONTEXT says TOKEN="YES", and this cloud has no OneGate: take that line out of it',
        )
    if found := _RESTRICTED.search(text):
        return CloudError(
            "rights",
            f"this account may not set {found[1]} of a virtual machine: leave it out of the settings, or have the "
            f"cloud's administrator put it into the template ({said})",
        )
    if class_name == "OneAuthorizationException":
        return CloudError(
            "rights",
            f"this account may not do that: {said}. Ask the cloud's administrator for the right USE on template, image "
            "and network, and CREATE on templates",
        )
    if class_name == "OneActionException":
        return CloudError("state", f"not in this state: {said}")
    if class_name == "OneNoExistsException":
        return CloudError("missing", said)
    return CloudError("refused", f"OpenNebula refuses: {said}")
