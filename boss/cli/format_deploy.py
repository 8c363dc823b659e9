"""A deployment at a cloud, what teardown removes, and how templates differ, as lines of text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from boss.cli.terminal import harmless

if TYPE_CHECKING:  # they import what every other command would wait for
    from boss.deploy.deploying import Deployed
    from boss.deploy.teardown import TeardownPlan


def deployed_lines(answer: Deployed) -> Iterator[str]:
    yield f"The boss runs on machine {answer.machine}, {harmless(answer.address)}"
    yield f"Address:  {answer.url}"
    yield f"Token:    {answer.token}"
    yield f"Host key: {answer.host_key}"
    if answer.disk:
        yield f"Datastore's disk: {harmless(answer.disk)}"
    yield "Address and token are kept in the state directory: push_tasks.py and admin.py use this boss from now on."


def plan_lines(plan: TeardownPlan) -> Iterator[str]:
    """What will be removed, before the question."""
    if not plan.machines:
        yield f"Deployment {harmless(plan.mark)} has no machines."
    else:
        yield f"Deployment {harmless(plan.mark)}; machines to be terminated, with all that is on them:"
        yield from (f"  {harmless(line)}" for line in plan.machines)
    disk, stays = harmless(plan.disk), harmless(plan.disk_stays)
    if disk:
        yield f"  the disk {disk}, WITH ALL RESULTS ON IT"
    if stays:
        yield f"The disk {stays} stays (--datastore_disk {stays} removes it)."


def torn_down_lines(plan: TeardownPlan) -> Iterator[str]:
    """Once it is removed."""
    yield "All of it is removed."
    if plan.disk_stays:
        yield (
            f"Remove the disk later, with all results on it: admin.py teardown --mark {harmless(plan.mark)} "
            f"--datastore_disk {harmless(plan.disk_stays.split(',')[0])}"
        )


def difference_lines(found: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Template -> what differs in the cloud."""
    for name, differences in found.items():
        yield f"{name}: {'differs' if differences else 'up to date'}"
        yield from (f"  {harmless(line)}" for line in differences)
