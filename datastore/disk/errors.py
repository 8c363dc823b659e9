"""Root of what goes wrong with the tree on the disk; the branches are drawn in `datastore.errors`."""

from __future__ import annotations

from datastore.errors import DatastoreError


class DiskError(DatastoreError):
    """The text is a sentence."""
