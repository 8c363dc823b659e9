"""The steps from one form of the tables to the next, each frozen once released. Run by `boss.database.schema`."""
