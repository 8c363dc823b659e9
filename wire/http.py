"""Names that both sides of HTTP between machines use. No logic."""

#: Where the API's routes begin.
PREFIX = "/api/v1"
#: Where a machine that a boss starts fetches its programs and its login, below PREFIX; then comes the worker's id.
GUESTS = f"{PREFIX}/guests"
#: Where a datastore on another host delivers the contents that `admin.py get` asks for, with a slash at the end.
OUTGOING = f"{PREFIX}/outgoing/"
