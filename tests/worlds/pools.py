"""What a scheduler does to its pools."""

from __future__ import annotations

from tests.worlds.scheduler import StartInstance, StopInstance, World


def started(world: World) -> list[str]:
    return [effect.worker for effect in world.take(StartInstance)]


def stopped(world: World) -> list[str]:
    """Each once: it is asked again until it is gone."""
    return list(dict.fromkeys(effect.worker for effect in world.take(StopInstance)))
