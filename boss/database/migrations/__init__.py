"""The steps from one form of the tables to the next. `boss.database.schema` runs those that a database lacks.

    versions/    one file a step, r0001_first.py, r0002_...: each changes tables and moves what stands in them
    env.py       what Alembic needs: the connection that `schema` hands in

A new column or table is a change of `boss.database.tables`, a step here, and its number at the end of
`boss.database.schema.REVISIONS`. A test compares the tables that all steps make with `tables`, and others open
databases of earlier forms.

A step is frozen once it is released: it imports nothing of ours, because what it would import goes on to change. Steps
run when a database is opened to be written (`Database.open`), never when it is only read.
"""
