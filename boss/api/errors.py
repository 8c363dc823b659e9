"""What the HTTP application raises, as a tree. Values only.

ApiError
├── HttpError                 a handler's answer: a status, a sentence, and one line per detail
├── BackendUnavailableError   no boss takes the request now; it may be repeated
├── ContentMissingError       the datastore's tree has no such content (any more)
├── DatastoreBusyError        it hands out as many files as it can; ask again soon
├── ResultUnavailableError    the datastore refused to send a file, with its reason
├── ResultBundleError         several results in one body: not packed so, or it ended too early
├── ServeError                the address cannot be listened on: the boss does not start
└── SpoolError                of a file that a client sends in
    ├── SpoolBusyError        it is being sent already, or goes on at another offset
    ├── SpoolContentError     what came does not match its digest: send it again
    └── SpoolFullError        no free space, by the limit or on the disk
"""

from __future__ import annotations

from collections.abc import Sequence


class ApiError(Exception):
    """The text is a sentence for users."""


class HttpError(ApiError):
    """Becomes the response {"error": sentence, "details": [...]} with this status."""

    def __init__(self, status: int, error: str, details: Sequence[str] = ()) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.details = list(details)


def not_found(what: str) -> HttpError:
    """HttpError 404 with this sentence, to be raised."""
    return HttpError(404, what)


def bad_input(error: str, details: Sequence[str] = ()) -> HttpError:
    """HttpError 400 with this sentence and a line per detail, to be raised."""
    return HttpError(400, error, details)
