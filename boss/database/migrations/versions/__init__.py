"""One file a step, in the order of `boss.database.schema.REVISIONS`; r0001_first.py makes the tables of the first form.

    `revision`, `down_revision`    the number of the step, and of the one before it
    `upgrade()`                    what it changes, on SQLite and on MariaDB/MySQL alike; it may be cut off anywhere,
                                   and begins again at the next start

There is no way back: an older program refuses a newer database with a sentence (`boss.database.schema.check_known`).
A step that is released is never edited, and imports nothing of ours.
"""
