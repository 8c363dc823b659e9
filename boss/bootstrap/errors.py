"""What goes wrong while a machine is given what it needs.

BootstrapError
├── GrantsError    the environment: the file of what workers may be cannot be read; says why and what to do
├── KeyFileError   the environment: an SSH key file cannot be used; says which and what to do
└── BundleError    the environment: a bundle cannot be made; says which, why, and what helps
"""

from __future__ import annotations


class BootstrapError(Exception):
    """The text is a sentence for operators."""
