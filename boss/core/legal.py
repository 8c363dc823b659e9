"""The tables of legal moves of the boss's machines: from -> to -> why such a move may happen.

What is absent is illegal. One function for each machine assigns its state and keeps to its table: `moves.move` (tasks),
`attempts.set_phase` and `attempts.end`, `leases.set_worker_state`, `instance_state.set_instance_state`, `nics.set_nic`.
They raise IllegalMoveError, an internal error: whatever comes from outside and fits no state is dropped before.
docs/states.md is drawn from these tables and the comments above them.
"""

from __future__ import annotations

from boss.core.model import Ended, InstanceState, NicState, Phase, TaskState, WorkerState

_P, _Q, _R, _S, _F, _C, _B = TaskState

#: A task waits for its dependencies, then for a worker, then runs; it is accepted as pending, queued or blocked.
#: Pending, queued and running ones move automatically. It leaves succeeded, failed or cancelled only because a user
#: asks (retry, redo, a push that replaces it or what it depends on), then goes where its dependencies put it; blocked
#: ends with what blocks it. One that was to run again because of what it depends on succeeds without running where its
#: inputs come out the same (early cut-off). A lost or repeated attempt takes a task back; a dependency that is redone
#: takes back what has not started.
TASK_MOVES: dict[TaskState, dict[TaskState, str]] = {
    _P: {_Q: "its last dependency succeeded", _B: "a dependency failed", _C: "a user cancelled it"},
    _Q: {
        _R: "an attempt started",
        _P: "a dependency was redone",
        _S: "its results exist already, or its inputs came out the same as when it succeeded",
        _F: "its inputs are not available, or too many attempts failed",
        _C: "a user cancelled it",
        _B: "a dependency was redone and failed",
    },
    _R: {
        _S: "commands exited 0 and its results are verified on the datastore",
        _F: "it failed and has no retry left",
        _C: "a user cancelled it",
        _Q: "the attempt was lost, or it is retried",
        _P: "the attempt was lost, and a dependency had been redone meanwhile",
        _B: "the attempt was lost, and a dependency had been redone and failed meanwhile",
    },
    _S: dict.fromkeys(
        (_P, _Q, _B), "a user asked to redo it, or pushed another version of it or of what it depends on"
    ),
    _F: dict.fromkeys((_P, _Q, _B), "a user asked to retry it, or pushed it again"),
    _C: dict.fromkeys((_P, _Q, _B), "a user asked to retry it, or to replace it"),
    _B: {
        _P: "what blocked it is retried",
        _Q: "it was replaced by one without that dependency",
        _C: "a user cancelled it",
    },
}

_STAGING, _STAGED, _EXECUTING, _COLLECTING = Phase

#: An attempt is sent to its worker as staging, or as staged where it has no inputs, and executes once a slot is free
#: there; it holds one while it executes only. From collecting on the datastore decides how it ends. Failed and timed
#: out cost the task a retry, the other ends none. A lost one is taken up again if its worker returns with it before
#: the next attempt of its task is sent; every other end is final.
ATTEMPT_MOVES: dict[Phase | Ended, dict[Phase | Ended, str]] = {
    _STAGING: {
        _STAGED: "the datastore brought its inputs, or they are in the worker's cache",
        _EXECUTING: "it started before the boss knew that its inputs were there",
        Ended.FAILED: "its inputs are not available, or its machine got no network interface for init tasks",
        Ended.CANCELLED: "a user cancelled it",
        Ended.LOST: "its worker is gone, silent or without it, or its inputs could not be brought there",
        Ended.RETURNED: "the worker gave it back",
        Ended.SUPERSEDED: "its task was replaced",
    },
    _STAGED: {
        _STAGING: "its worker misses inputs, or was started again",
        _EXECUTING: "its first command runs",
        Ended.FAILED: "its machine got no network interface for init tasks",
        Ended.CANCELLED: "a user cancelled it",
        Ended.LOST: "its worker is gone, silent or without it",
        Ended.RETURNED: "the worker gave it back",
        Ended.SUPERSEDED: "its task was replaced",
    },
    _EXECUTING: {
        _COLLECTING: "its commands exited 0 and left results",
        Ended.SUCCEEDED: "its commands exited 0, and there is nothing to collect",
        Ended.FAILED: "a command exited with another code, or a result is missing",
        Ended.TIMED_OUT: "it ran longer than its limit",
        Ended.CANCELLED: "a user cancelled it",
        Ended.LOST: "its worker is gone, silent or without it, or failed by its own fault",
        Ended.SUPERSEDED: "its task was replaced",
    },
    _COLLECTING: {
        Ended.SUCCEEDED: "its results are published",
        Ended.FAILED: "the datastore rejects the names of its results",
        Ended.CANCELLED: "a user cancelled it, and the datastore abandoned its results",
        Ended.LOST: "its results could not be collected, or are not what the worker reported",
        Ended.SUPERSEDED: "its task was replaced",
    },
    Ended.SUCCEEDED: {},
    Ended.FAILED: {},
    Ended.TIMED_OUT: {},
    Ended.CANCELLED: {},
    Ended.LOST: {
        _STAGING: "its worker came back with it, and it requires inputs",
        _STAGED: "its worker came back with it",
    },
    Ended.RETURNED: {},
    Ended.SUPERSEDED: {},
}

#: Each start of a worker's program is an incarnation of its own and begins as online, whatever the one before it was.
#: What counts is its lease: silence makes it lost, its next hello brings it back, and only the end of its instance,
#: or an operator who drops it, is for good.
WORKER_MOVES: dict[WorkerState, dict[WorkerState, str]] = {
    WorkerState.ONLINE: {
        WorkerState.DRAINING: "an operator asked, its instance is to stop, or it stops itself",
        WorkerState.LOST: "it was silent past its lease",
        WorkerState.GONE: "its instance ended, or an operator dropped it",
    },
    WorkerState.DRAINING: {
        WorkerState.ONLINE: "an operator asked",
        WorkerState.LOST: "it was silent past its lease",
        WorkerState.GONE: "its instance ended, or an operator dropped it",
    },
    WorkerState.LOST: {
        WorkerState.ONLINE: "it said hello again",
        WorkerState.DRAINING: "it said hello again and is to drain, or an operator asked",
        WorkerState.GONE: "its instance ended, or an operator dropped it",
    },
    WorkerState.GONE: {},
}

#: The intent of an instance is on disk before its provider is called. What the provider reports may be late or
#: overtaken by the worker's hello, so that any state but the last two can be followed by an end.
INSTANCE_MOVES: dict[InstanceState, dict[InstanceState, str]] = {
    InstanceState.REQUESTED: {
        InstanceState.BOOTING: "the provider made it",
        InstanceState.RUNNING: "its worker said hello before the provider answered",
        InstanceState.STOPPING: "it is not required any more, or was not made in time",
        InstanceState.GONE: "the provider does not list it",
        InstanceState.FAILED: "the provider could not make it",
    },
    InstanceState.BOOTING: {
        InstanceState.RUNNING: "its worker said hello",
        InstanceState.STOPPING: "it is not required any more, or its worker did not say hello in time",
        InstanceState.GONE: "it ended",
        InstanceState.FAILED: "the provider gave it up",
    },
    InstanceState.RUNNING: {
        InstanceState.STOPPING: "it is not required any more, or its worker is silent for too long",
        InstanceState.GONE: "it ended",
        InstanceState.FAILED: "the provider gave it up",
    },
    InstanceState.STOPPING: {
        InstanceState.GONE: "it ended",
        InstanceState.FAILED: "the provider had not made it",
    },
    InstanceState.GONE: {},
    InstanceState.FAILED: {},
}

#: An instance of a pool with an `init_network` has one more network interface while init tasks run there. One that is
#: being detached is waited for before the next is requested. A provider's late answer may bring one at any time; an
#: instance has one at most, so one with another name has taken the place of the one that was known.
NIC_MOVES: dict[NicState, dict[NicState, str]] = {
    NicState.NONE: {
        NicState.REQUESTED: "init tasks wait for it",
        NicState.ATTACHED: "the answer to an earlier request came late",
    },
    NicState.REQUESTED: {
        NicState.ATTACHED: "the provider attached it",
        NicState.NONE: "the provider could not attach it",
    },
    NicState.ATTACHED: {
        NicState.DETACHING: "no init task requires it any more",
        NicState.ATTACHED: "the answer to an earlier request brought another one",
    },
    NicState.DETACHING: {
        NicState.NONE: "the provider detached it",
        NicState.ATTACHED: "the answer to an earlier request brought another one",
    },
}
