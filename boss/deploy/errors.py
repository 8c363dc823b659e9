"""What ends a deploy, teardown or registration: always a sentence, and what the user can do."""

from __future__ import annotations


class DeployError(Exception):
    """The text is a sentence for users. What was done so far stays, and the same command goes on with it."""
