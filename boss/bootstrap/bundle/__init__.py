"""Bundles: all that a program of ours needs on a machine that has nothing but its own Python, in one archive.

    Bundles.build (`bundles`) ── contents    which of our packages and of others' belong into it, and what is left out
                              ├─ packages    where their files come from: installed here, or wheels that pip downloads
                              └─ archive     a gzipped tar, whose bytes depend on names and contents alone

The machine needs neither pip nor venv: the archive is unpacked, and PYTHONPATH names the folder. The same input gives
the same bytes, and so the same digest, by which a machine checks what it fetched. What was made is kept in the state
directory for the next boss.

It is slow (seconds, minutes where packages are downloaded), so the boss's loop never calls it: `boss.bootstrap.bundles`
has a thread for that, and `boss.cli.deploy` waits for it. It decides nothing about who gets a bundle.
"""

from boss.bootstrap.bundle.bundles import Bundle, Bundles
from boss.bootstrap.bundle.contents import BundleError, Program, own_machine, own_python

__all__ = ["Bundle", "BundleError", "Bundles", "Program", "own_machine", "own_python"]
