"""What ends a deploy, teardown or registration: always a sentence, and what a person can do."""

from __future__ import annotations


class DeployError(Exception):
    """The text is for people. What was done so far stays, and the same command goes on with it."""
