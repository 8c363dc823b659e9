"""Which function makes the provider of a name: our own, or one that another package brings as an entry point.

A package brings a provider by an entry point of the group `ecloud.providers` whose name is the provider's and whose
object is a `boss.providers.provider.Make`. Our own are found without being installed.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from boss.providers.provider import Make, ProviderError

GROUP = "ecloud.providers"
#: Imported only when a pool names them: pyone and paramiko take their time.
OWN = {
    "local": "boss.providers.local:make",
    "opennebula": "boss.providers.opennebula.make:make",
    "static": "boss.providers.static:make",
    "fake": "boss.providers.fake:make",
}


def find(name: str) -> Make:
    """Raises ProviderError: there is none, or it cannot be loaded."""
    brought = {each.name: each for each in entry_points(group=GROUP)}
    try:
        if name in OWN:
            module, _, attribute = OWN[name].partition(":")
            return getattr(import_module(module), attribute)
        if name in brought:
            return brought[name].load()
    except (ImportError, AttributeError) as error:
        raise ProviderError(f"the provider {name!r} cannot be loaded: {error}") from None
    known = ", ".join(sorted({*OWN, *brought} - {"fake"}))
    raise ProviderError(f"there is no provider {name!r}; there are {known}")
