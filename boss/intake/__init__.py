"""From task files to a submission: what people write, checked, in the words of `boss.core.model`.

Two ends use it. `push_tasks.py` reads a file (`reader`), finds the local files that it names and makes the
canonical stream (`stream`). The boss feeds that stream to a `collector.Collector`, which checks everything
again, because a client may be curl, and ends with a Submission. It knows no database, no network and no
worker; the only files that it touches are the task file and those that the task file names.
"""
