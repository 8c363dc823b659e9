"""What goes wrong in the datastore's program. Values only; the roots are never caught.

DatastoreError
├── NameRefusedError              a worker or a boss: a name that is not valid below the tree
├── ContentRejectedError          a boss: what is to be stored is not what was announced
├── StepFailedError               the environment: a step of publishing did not end; it is tried again
├── BossError                     the other side (see `datastore.http`)
├── DiskError                     of the tree (`datastore.disk`)
│   ├── TreeError                 the environment: the tree cannot be used, the program does not start
│   ├── IndexUnusableError        the environment: its index cannot be used
│   ├── BeneathError              what a path names cannot be opened as what it should be (see `disk.beneath`)
│   ├── VersionMissingError       the datastore has no such content
│   ├── NotSendableError          something below a folder cannot be an input
│   ├── DigestError               what was given as a digest is none
│   ├── SizeDiffersError          a file has not the size that was stated
│   └── CopyStoppedError          the copy is no longer needed
└── TransferError                 of files between the tree and a worker (`datastore.transfers`)
    ├── TransferFailedError       it did not come to its end, with whose fault it is
    └── TransferStartError        the environment: rsync or ssh could not be started
"""

from __future__ import annotations


class DatastoreError(Exception):
    """The text is a sentence."""
