"""Policies: ours, and what others do, each as a function from what is known to what to start and stop.

The rules of others are written again from their documentation; numbers in a name are their settings.
"""

from __future__ import annotations

import math

from benchmarks.elastic.cloud import Answer, Policy, View, Worker
from boss.core.scaling.decide import Pool, Supply, decide
from boss.core.scaling.forecast import SMALL, Graph, Ready, forecast


def ours(cost_weight: float, idle: float = 0.0) -> Policy:
    """`boss.core.scaling.decide` on what `boss.core.scaling.forecast` sees."""

    def policy(view: View) -> Answer:
        site = view.site
        groups: dict[float, list[int]] = {}
        for task in view.ready:
            groups.setdefault(view.seconds(task), []).append(task)
        ready = [Ready(tasks, len(tasks), seconds) for seconds, tasks in groups.items()]
        running = []
        for task, began in view.running.items():
            elapsed, mean = view.now - began, view.seconds(task)
            # What has run longer than expected goes on for about as long again.
            running.append((task, mean - elapsed if elapsed < mean else max(1.0, elapsed / 2)))
        graph = Graph(
            dependants=view.dependants.__getitem__,
            unmet=view.unmet.__getitem__,
            cost=lambda task: (1, view.seconds(task)),
            pending=view.pending,
            pending_seconds=view.pending * 30.0,
        )
        serving = len(view.serving) * site.slots
        coming = serving + len(view.booting) * site.slots
        now = (serving, site.max_workers * site.slots)
        seen = forecast(graph, ready, running, now, site.boot)

        def ends(more: int) -> float:
            return forecast(graph, ready, running, (serving, coming + more * site.slots), site.boot).end

        pool = Pool(slots=site.slots, max_workers=site.max_workers, boot=site.boot, idle=idle, cost_weight=cost_weight)
        resting = view.idle()
        supply = Supply(
            busy=len(view.serving) - len(resting),
            idle=[(each.name, view.now - each.idle_since) for each in resting],
            booting=[max(0.0, each.requested + site.boot - view.now) for each in view.booting],
        )
        small = len(view.ready) + len(view.running) + view.pending <= SMALL
        plan = decide(seen.waves, pool, supply, ends if small else None)
        return plan.start, plan.stop

    return policy


def all_at_once(view: View) -> Answer:
    """All that the limit allows while anything is to be done."""
    if view.ready or view.running or view.pending:
        return view.site.max_workers - len(view.serving) - len(view.booting), []
    return 0, [each.name for each in view.serving]


def queue_target(per_worker: float, cooldown: float) -> Policy:
    """A target of queued tasks per worker (KEDA, HyperQueue's backlog); after a pause without need, down."""

    def policy(view: View) -> Answer:
        load = len(view.ready) + len(view.running)
        wanted = min(view.site.max_workers, math.ceil(load / per_worker))
        there = len(view.serving) + len(view.booting)
        if wanted > there:
            return wanted - there, []
        return 0, _down(view, there - wanted, cooldown)

    return policy


def dask(target: float, wait: float) -> Policy:
    """Enough workers to end what is known in `target` seconds, no more than have work; down after `wait`."""

    def policy(view: View) -> Answer:
        site = view.site
        occupancy = sum(view.seconds(task) for task in view.ready)
        occupancy += sum(max(0.0, view.seconds(task) - (view.now - began)) for task, began in view.running.items())
        tasks = len(view.ready) + len(view.running)
        wanted = min(math.ceil(occupancy / target / site.slots), math.ceil(tasks / site.slots), site.max_workers)
        if tasks and not wanted:
            wanted = 1
        there = len(view.serving) + len(view.booting)
        if wanted > there:
            return wanted - there, []
        return 0, _down(view, there - wanted, wait)

    return policy


def clues(idle: float) -> Policy:
    """One worker for each that the queued tasks would fill; off when it was idle for so long."""

    def policy(view: View) -> Answer:
        free = sum(each.free for each in view.serving) + view.site.slots * len(view.booting)
        lacking = math.ceil(max(0, len(view.ready) - free) / view.site.slots)
        return lacking, _down(view, len(view.serving), idle)

    return policy


def _down(view: View, count: int, idle: float) -> list[str]:
    ripe: list[Worker] = [each for each in view.idle() if view.now - each.idle_since >= idle]
    return [each.name for each in ripe[: max(0, count)]] if not view.ready else []


COST_WEIGHTS = (0.0, 0.25, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.825, 0.85, 0.875, 0.9, 0.925, 0.95, 1.0)
OURS = {f"ours, cost_weight {weight:g}": ours(weight) for weight in COST_WEIGHTS}
RIVALS: dict[str, Policy] = {
    "all at once": all_at_once,
    **{f"queue target {n:g}, cooldown {c:g} s": queue_target(n, c) for n in (4, 16, 64) for c in (60, 300)},
    **{f"Dask adaptive {t:g} s": dask(t, 15.0) for t in (5, 60, 300, 900)},
    **{f"CLUES-like, idle {i:g} s": clues(i) for i in (60, 300, 600)},
}
