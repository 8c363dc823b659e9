"""From effects to messages: orders get what only the database holds (executions, requirements), in bulk.

Pure but for the `TurnLookups` that are handed in; the simulation uses the same code with look-ups of its own.
What cannot be filled in (its row was removed) is left out: the boss orders it again, or finds the attempt
ended. Left out is also a Stage whose inputs are all in the worker's cache: an event reports that instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import cast

import msgspec

from boss.core.attempts import tree_prefix
from boss.core.declared import undeclared
from boss.core.effects import (
    CompareInputs,
    LookUpOrder,
    RunOrder,
    SendToDatastore,
    SendToWorker,
    StageOrder,
    StoreOrder,
    ToDatastore,
)
from boss.core.events import InputsCached, InputsCompared, OrdersLeftOut, ResultsUndeclared
from boss.core.orders import cut
from boss.core.store import Task, TurnLookups
from wire.messages import (
    VERSION,
    Collect,
    DatastoreOrder,
    DatastoreOrders,
    Execution,
    Input,
    LookUp,
    Run,
    Stage,
    Store,
    WorkerOrder,
    WorkerOrders,
)

#: A message to the datastore is cut above this; what a file takes in it beside its names.
_MAX_BYTES = 4 * 1024 * 1024
_FILE_BYTES = 170

#: What becomes of orders that are not sent, and what was found in the database.
Found = InputsCached | InputsCompared | ResultsUndeclared | OrdersLeftOut
#: Whether all of these are bound, and known to lie in the cache of the worker with this id.
InCache = Callable[[str, list[Input]], bool]


class Dispatcher:
    """Makes messages of one deployment and epoch."""

    def __init__(self, lookups: TurnLookups, deployment: str, epoch: int, in_cache: InCache | None = None) -> None:
        """`in_cache`: whether the inputs lie in the worker's cache (default: nothing is known of caches)."""
        self._lookups = lookups
        self._deployment = deployment
        self._epoch = epoch
        self._in_cache = in_cache
        self._found: list[Found] = []
        #: Tasks whose results are to be collected by the orders being filled.
        self._tasks: Mapping[int, Task] = {}

    def to_workers(self, effects: Iterable[SendToWorker]) -> list[tuple[str, WorkerOrders]]:
        """Worker id and message of each effect, in order."""
        effects = list(effects)
        numbers = {order.task for effect in effects for order in effect.orders if isinstance(order, RunOrder)}
        tasks = self._lookups.executions(numbers) if numbers else {}
        return [(effect.worker, self._worker_message(effect, tasks)) for effect in effects]

    def to_datastore(self, effects: Iterable[SendToDatastore]) -> list[DatastoreOrders]:
        effects = list(effects)
        orders = [order for effect in effects for order in effect.orders]
        staged = {order.task for order in orders if isinstance(order, StageOrder)}
        looked = {order.task for order in orders if isinstance(order, LookUpOrder)}
        inputs = self._lookups.requirements(staged) if staged else {}
        names = self._lookups.result_names(looked) if looked else {}
        collected = {order.task for order in orders if isinstance(order, Collect)}
        self._tasks = self._lookups.executions(collected) if collected else {}
        messages = [self._datastore_message(effect, inputs, names) for effect in effects]
        self._found += [OrdersLeftOut(number=message.number) for message in messages if not message.orders]
        return [part for message in messages if message.orders for part in _cut(message)]

    def compare(self, effects: Iterable[CompareInputs]) -> list[InputsCompared]:
        """Events for the scheduler: whether the inputs came out the same."""
        asked = {effect.task: (effect.task, effect.attempt, effect.parents) for effect in effects}
        same = self._lookups.same_inputs(list(asked.values())) if asked else ()
        return [InputsCompared(task=task, same=task in same) for task in asked]

    def found(self) -> list[Found]:
        """Events for the scheduler about the orders that were left out since the last call."""
        found, self._found = self._found, []
        return found

    def _worker_message(self, effect: SendToWorker, tasks: Mapping[int, Task]) -> WorkerOrders:
        filled = (_run(order, tasks) if isinstance(order, RunOrder) else order for order in effect.orders)
        return WorkerOrders(
            version=effect.version,
            deployment=self._deployment,
            receiver=effect.incarnation,
            epoch=self._epoch,
            number=effect.number,
            orders=[order for order in filled if order is not None],
        )

    def _datastore_message(
        self, effect: SendToDatastore, inputs: Mapping[int, list[Input]], names: Mapping[int, list[str]]
    ) -> DatastoreOrders:
        filled = (self._datastore_order(order, inputs, names) for order in effect.orders)
        return DatastoreOrders(
            version=VERSION,
            deployment=self._deployment,
            receiver=effect.incarnation,
            epoch=self._epoch,
            number=effect.number,
            orders=[order for order in filled if order is not None],
        )

    def _datastore_order(
        self, order: ToDatastore, inputs: Mapping[int, list[Input]], names: Mapping[int, list[str]]
    ) -> DatastoreOrder | None:
        if isinstance(order, StageOrder):
            required = inputs.get(order.task)
            if required is None:
                return None
            if order.cached and self._in_cache is not None and self._in_cache(order.worker, required):
                self._found.append(InputsCached(task=order.task, attempt=order.attempt, inputs=required))
                return None
            return Stage(
                task=order.task, attempt=order.attempt, worker=order.worker, place=order.place, inputs=required
            )
        if isinstance(order, Collect):
            return self._checked(order)
        if isinstance(order, LookUpOrder):
            return LookUp(task=order.task, names=names.get(order.task, []))
        if isinstance(order, StoreOrder):
            file = order.file
            return Store(
                name=file.name,
                digest=file.digest,
                size=file.size,
                executable=file.executable,
                source=self._lookups.source_of(file.digest),
            )
        return order

    def _checked(self, order: Collect) -> Collect | None:
        """None: it names what its task does not declare."""
        task = self._tasks.get(order.task)
        name = undeclared(order, task[2], tree_prefix(task[0])) if task is not None else ""
        if not name:
            return order
        self._found.append(ResultsUndeclared(task=order.task, attempt=order.attempt, name=name))
        return None


def _cut(message: DatastoreOrders) -> list[DatastoreOrders]:
    """In parts that are no larger than a message may be, with numbers of their own below that of the whole."""
    parts = cut(message.orders, _cost, _MAX_BYTES)
    first = message.number - len(parts) + 1
    return [msgspec.structs.replace(message, number=first + at, orders=part) for at, part in enumerate(parts)]


def _cost(order: DatastoreOrder) -> int:
    """Bytes of its lists, about."""
    if isinstance(order, Stage):
        return sum(_FILE_BYTES + len(each.name) + len(each.path) for each in order.inputs)
    if isinstance(order, Collect):
        return sum(_FILE_BYTES + len(each.source) + len(each.target) for each in order.files)
    return 0


def _run(order: RunOrder, tasks: Mapping[int, Task]) -> WorkerOrder | None:
    task = tasks.get(order.task)
    if task is None:
        return None
    project, task_id, execution = task
    return Run(
        task=order.task,
        attempt=order.attempt,
        batch=order.batch,
        project=project,
        id=task_id,
        # Stored as the JSON that the wire carries: it goes through as it is, never decoded here.
        execution=cast(Execution, msgspec.Raw(execution)),
        staging=order.staging,
        inits=list(order.inits),
        init=order.init,
    )
