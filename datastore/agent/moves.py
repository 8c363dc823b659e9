"""The two places where a collection, and the batch that is published, go from one step to another, by their tables.

Whoever calls these functions has decided that the move is right. An illegal move is a bug of ours and raises
IllegalMoveError with the story.
"""

from __future__ import annotations

from datastore.agent.legal import BATCH_MOVES, COLLECTION_MOVES
from datastore.agent.state import BATCH, Collection, DatastoreAgentState, Publishing, PublishStep, Step, StepMove
from datastore.agent.story import illegal


def move(state: DatastoreAgentState, collection: Collection, step: Step) -> None:
    """The collection goes to this step."""
    task, attempt = collection.key
    if step not in COLLECTION_MOVES[collection.step]:
        raise illegal(state, f"the results of attempt {task}.{attempt}", collection.key, collection.step, step)
    state.story.append(StepMove(state.now, task, attempt, collection.step, step))
    collection.step = step


def leave(state: DatastoreAgentState, collection: Collection, step: Step) -> None:
    """Nothing more is done for it: it is published, or given up and nothing of it is left."""
    move(state, collection, step)
    del state.collections[collection.key]


def move_batch(state: DatastoreAgentState, batch: Publishing, step: PublishStep) -> None:
    """The batch goes to this step; until it is over it is the one that is under way."""
    if step not in BATCH_MOVES[batch.step]:
        raise illegal(state, "the batch", BATCH, batch.step, step)
    state.story.append(StepMove(state.now, *BATCH, batch.step, step))
    batch.step = step
    state.publishing = None if step is PublishStep.OVER else batch
