"""Words that parts of this package share without importing one another. No logic."""

#: Where the API's routes begin.
PREFIX = "/api/v1"
#: Key of an ASGI scope: an event that is set when the server is about to end.
CLOSING = "ecloud.closing"
