"""The handlers of the HTTP API, one file a subject. `boss.api.table` says which route calls which of them.

    workers    status, workers              tasks      lists, one in full, its commands, the end of its output
    batches    lists, one, follow, pause    changes    cancel, retry, redo, drop; drain, quarantine, resume, release
    submit     a push                       pools      pools and instances, and what operators ask of them
    files      contents through the boss    results    lists, contents, sums
    journal    events, stories              context    where things are        logins    also a machine's start

A plain handler is a function from a `boss.api.routes.Call` to the body of the answer; it runs in a thread and may
block. A streaming one is async and makes its own response. What is wrong raises `boss.api.errors.HttpError`.

Handlers look ids up, read the view or the database, and put events. Whether a change is allowed is the scheduler's
answer. They keep nothing from one request to the next, and write to no table.
"""
