"""The boss's providers: one for each pool, made from the settings, and which of them is asked about which instance.

It makes what `registry` finds, hands on what a turn wants done, and collects limits and warnings. It decides nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

from boss.core.effects import AttachNetwork, DetachNetwork, StartInstance, StopInstance
from boss.core.events import InstanceEnded, InstanceStartFailed, NetworkAttached, NetworkAttachFailed, NetworkDetached
from boss.core.waits import BossWarning
from boss.providers import registry
from boss.providers.provider import BossServices, Limits, NicProvider, Provider, Recorded
from boss.setup import PoolSetup

logger = logging.getLogger(__name__)


class Providers:
    """All calls are safe from any thread."""

    def __init__(self, pools: Iterable[PoolSetup], services: BossServices) -> None:
        """Raises ProviderError."""
        self._services = services
        self._providers: dict[str, Provider] = {
            pool.name: registry.find(pool.provider)(pool, services) for pool in pools
        }
        #: Starts that are being handed over to their providers.
        self._beginning: dict[int, threading.Thread] = {}

    def adopt(self, on_record: Iterable[tuple[str, Recorded]]) -> None:
        """Once, after a start: every instance on record, with the name of its pool."""
        by_pool: dict[str, list[Recorded]] = {name: [] for name in self._providers}
        for pool, recorded in on_record:
            if pool in by_pool:
                by_pool[pool].append(recorded)
            else:
                self._orphaned(recorded.instance, pool)
        for name, provider in self._providers.items():
            provider.adopt(by_pool[name])

    def start(self, effect: StartInstance) -> None:
        """Preparing what its machine is given may take a while: in a thread of its own."""
        provider = self._providers[effect.pool]

        def work() -> None:
            try:
                provider.start(effect.instance, effect.worker)
            except Exception as error:  # an internal error: its start is not to be waited for in vain
                logger.exception("the start of instance %d failed", effect.instance, extra={"action": "bug"})
                why = f"an internal error of its provider: {error!r}"
                self._services.notify(InstanceStartFailed(instance=effect.instance, reason=why))
            finally:
                self._beginning.pop(effect.instance, None)

        begin = threading.Thread(target=work, name=f"start {effect.worker}", daemon=True)
        self._beginning[effect.instance] = begin
        begin.start()

    def stop(self, effect: StopInstance) -> None:
        """Ended by its pool's provider, after its start where that is being handed over; InstanceEnded follows, at once
        where the settings have no such pool any more.
        """
        provider = self._providers.get(effect.pool)
        if provider is None:
            self._orphaned(effect.instance, effect.pool)
            return
        begin = self._beginning.get(effect.instance)
        if begin is None:
            provider.stop(effect.instance, effect.worker, effect.reference)
            return

        def work() -> None:
            # Its provider would know nothing of it yet, say that it is gone, and then start it.
            begin.join()
            provider.stop(effect.instance, effect.worker, effect.reference)

        threading.Thread(target=work, name=f"stop {effect.worker}", daemon=True).start()

    def change_nic(self, effect: AttachNetwork | DetachNetwork) -> None:
        """Attach or detach a NIC: NetworkAttached, NetworkAttachFailed or NetworkDetached follows; a detachment that
        failed is not reported.
        """
        if isinstance(effect, AttachNetwork):
            self._attach(effect)
        else:
            self._detach(effect)

    def limits(self) -> dict[str, Limits]:
        """Pool -> how many more instances its provider would make now."""
        return {name: provider.limits() for name, provider in self._providers.items()}

    def warnings(self) -> list[BossWarning]:
        """What keeps providers from their work at present."""
        texts = {name: provider.warning for name, provider in self._providers.items()}
        return [BossWarning(f"pool {name}", f"pool {name}: {text}") for name, text in texts.items() if text]

    def close(self) -> None:
        """The boss ends: no provider notifies any more."""
        for provider in self._providers.values():
            provider.close()

    def _attach(self, effect: AttachNetwork) -> None:
        """Answered by NetworkAttached or NetworkAttachFailed."""
        provider = self._providers.get(effect.pool)
        if not isinstance(provider, NicProvider):
            why = f"pool {effect.pool} has no machines that a network interface could be attached to"
            self._services.notify(NetworkAttachFailed(instance=effect.instance, reason=why))
            return

        def done(nic: str, why_not: str) -> None:
            if why_not:
                self._services.notify(NetworkAttachFailed(instance=effect.instance, reason=why_not))
            else:
                self._services.notify(NetworkAttached(instance=effect.instance, nic=nic))

        provider.attach(effect.reference, effect.network, done)

    def _detach(self, effect: DetachNetwork) -> None:
        """Answered by NetworkDetached; of one that stays for now nothing is reported, and it is asked again."""
        provider = self._providers.get(effect.pool)
        gone = NetworkDetached(instance=effect.instance, nic=effect.nic)
        if isinstance(provider, NicProvider):
            provider.detach(
                effect.reference, effect.nic, lambda _nic, why_not: None if why_not else self._services.notify(gone)
            )
        else:
            self._services.notify(gone)

    def _orphaned(self, instance: int, pool: str) -> None:
        """Its pool is no longer in the settings: how to stop it is unknown."""
        why = f"the settings have no pool {pool!r} any more; what it started, if it lives, is to be stopped manually"
        logger.warning("instance %d: %s", instance, why, extra={"action": "orphaned"})
        self._services.notify(InstanceEnded(instance=instance, reason=why, unseen=True))
