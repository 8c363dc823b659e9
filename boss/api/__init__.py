"""The HTTP application of the boss: /api/v1, for users' programs, the commands, and machines at their start.

    serve ── app ── guard          token, Host, Origin and content type, before any route
                 └─ table          every route once (`routes`: what a route is), and its handler
                    └─ handlers/   one file a subject; they share one Services (`services`):
                       ├─ backend      events in, an answer out; the View, a snapshot of what is live
                       │               two there are: `live` in a running boss, `offline` over a state directory;
                       │               what is not live is read by boss.database's reads and lookups
                       ├─ spool        files that pushes send in
                       ├─ tree         the datastore's tree where it is on this disk; else `from_datastore` fetches
                       └─ ...          Protocols of what only a running boss has (logins, bootstrap, checks of hosts)

`schema` has the bodies, which `boss.client` shares; `openapi` is the document made of these and of the routes.
`responses` and `result_bundle` make answers of bodies and files, `errors` is all that is raised.
`followers` counts who follows, `sweep` removes sent files that nothing refers to.

It decides nothing about tasks: a change is an event, which the scheduler answers. It never reads the scheduler's state
from a request's thread, and knows no MQTT, no provider and no SQL.
"""
