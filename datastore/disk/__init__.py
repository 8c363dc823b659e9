"""The tree on the disk: how it is laid out, opened, synced and remembered. Used by publish, store and the transfers.

    tree        the layout (results in plain sight, the rest below .ecloud/), and the lock of the one program
    index       SQLite: epochs, publish records, digests of files that were read
    names       gives names: by one rename each, the former version kept (`folders`: whole folders at once)
    versions    finds content: what a name holds now, and where a version is
    listing     what is below a folder, or matches a pattern
    beneath     opens a path step by step, following no link
    content     digests, and copies that compute them on the way; `syncs`: durable with few calls; `janitor`: removal

It knows files and SQLite, and no order, lane or message but the values that it is asked to write down. It overwrites
nothing in place: a reader sees the former version or the new one.
"""
