"""The tables of legal moves of collections and of batches that are published: from -> to -> why such a move may happen.

What is absent is illegal. `datastore.agent.moves` has the one function for each that assigns a step and keeps to its
table; it raises IllegalMoveError, which is a bug of ours: whatever comes from outside and fits no step is dropped
before. docs/states.md is drawn from these tables and the comments above them.
"""

from __future__ import annotations

from datastore.agent.state import PublishStep, Step

#: The results of one attempt on their way into the tree. They are fetched from the worker into a folder that is never
#: read, and published from there in batches. A collection can be given up until the publish record of its batch is
#: written; from then on it can only be published, by this start of the datastore or by the next.
COLLECTION_MOVES: dict[Step, dict[Step, str]] = {
    Step.NEW: {Step.WAITING: "the boss ordered it, and neither its names nor a later attempt speak against it"},
    Step.WAITING: {
        Step.FETCHING: "a transfer from its worker began",
        Step.DISCARDING: "it was given up, and earlier tries have left files",
        Step.ABANDONED: "it was given up before anything of it was here",
    },
    Step.FETCHING: {
        Step.FETCHED: "all its files are here, with the size and digest that the worker reported",
        Step.WAITING: "the transfer failed, or there is no free space: it is retried",
        Step.DISCARDING: "it was given up or its last try failed, and files are left",
        Step.ABANDONED: "it was given up or cannot be fetched, and nothing of it is here",
    },
    Step.FETCHED: {
        Step.PUBLISHING: "it is part of the next batch",
        Step.DISCARDING: "it was given up, or a later attempt of its task is published",
    },
    Step.PUBLISHING: {
        Step.PUBLISHED: "its results have their names, durably",
        Step.FETCHED: "the batch failed before its publish records were written: it is retried",
        Step.DISCARDING: "it was given up, or its names cannot be given, before its publish record was written",
    },
    Step.DISCARDING: {Step.ABANDONED: "its files are removed"},
    Step.PUBLISHED: {},
    Step.ABANDONED: {},
}

#: One batch at a time is published: its files are made durable, then its publish records, and only then do they get
#: their names. A batch that a former start of the datastore recorded is completed first of all.
BATCH_MOVES: dict[PublishStep, dict[PublishStep, str]] = {
    PublishStep.NEW: {
        PublishStep.SYNC: "collections are fetched, and no other batch is under way",
        PublishStep.PLACE: "a former start of the datastore wrote its publish records",
    },
    PublishStep.SYNC: {
        PublishStep.RECORD: "its files are durable",
        PublishStep.OVER: "nothing of it is left to publish, or its files could not be made durable",
    },
    PublishStep.RECORD: {
        PublishStep.PLACE: "its publish records are durable",
        PublishStep.OVER: "its publish records were certainly not written",
    },
    PublishStep.PLACE: {PublishStep.OVER: "all its names are durable"},
    PublishStep.OVER: {},
}
