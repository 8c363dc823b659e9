"""One file per step; `boss.database.schema.REVISIONS` lists them in order."""
