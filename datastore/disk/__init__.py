"""The tree on the disk: how it is laid out, opened, synced and remembered. Used by publish, store and the transfers.

It knows files and SQLite, and no order, attempt lane or message but the values that it is asked to write down.
"""
