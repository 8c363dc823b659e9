"""The one way in for people and their scripts: the HTTP API, the client of it, and what both need.

`app` builds the Starlette application over a `backend.Backend`; `serve` runs it in a thread. `client` is what
`push_tasks.py`, `admin.py` and tests use; `find` says which boss belongs to a state directory; `offline` is the
backend where no boss runs. Nothing here knows the broker, a provider or SQL.
"""
