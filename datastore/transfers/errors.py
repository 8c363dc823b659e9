"""Root of what goes wrong with a transfer; the branches are drawn in `datastore.errors`."""

from __future__ import annotations

from datastore.errors import DatastoreError


class TransferError(DatastoreError):
    """The text is a sentence."""
