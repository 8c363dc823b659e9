"""The one place where a collection goes from one step to another, by the table `STEPS`.

Whoever calls these functions has decided that the move is right. An illegal move is a bug of ours and raises
InvariantError with the attempt's story.
"""

from __future__ import annotations

from datastore.agent.state import STEPS, Collection, DatastoreAgentState, Step, StepMove
from datastore.agent.story import InvariantError, story


def move(state: DatastoreAgentState, collection: Collection, step: Step) -> None:
    task, attempt = collection.key
    if step not in STEPS[collection.step]:
        text = f"the results of attempt {task}.{attempt} cannot go from {collection.step} to {step}"
        raise InvariantError(text, story(state, collection.key))
    state.story.append(StepMove(state.now, task, attempt, collection.step, step))
    collection.step = step


def leave(state: DatastoreAgentState, collection: Collection, step: Step) -> None:
    """Nothing more is done for it: it is published, or given up and nothing of it is left."""
    move(state, collection, step)
    del state.collections[collection.key]
