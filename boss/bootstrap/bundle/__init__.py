"""Bundles: all that a program of ours needs on a machine that has nothing but its own Python, in one archive.

Made of our packages and of those that they import, unpacked side by side, so that a machine needs neither pip nor venv:
the archive is unpacked, and PYTHONPATH names the folder. The same input gives the same bytes, and so the same digest.
"""

from boss.bootstrap.bundle.bundles import Bundle, Bundles
from boss.bootstrap.bundle.contents import BundleError, Program, own_machine, own_python

__all__ = ["Bundle", "BundleError", "Bundles", "Program", "own_machine", "own_python"]
