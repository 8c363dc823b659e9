"""The state directory (`.ecloud/`): where it is, and the files in it that belong to no other part.

    find             where it is: ECLOUD_HOME, or .ecloud here or above; refused on a network file system
    lock             lock: one boss at a time on it; a second one is refused with the name of the first
    boss_file        boss.json: the process and URL of the boss that runs on it
    tokens           logins/http_token: made once, compared in constant time
    known_deployment deployment: whose database it was, so that an emptied one is refused
    context          context.json: where an operator says that the datastore is
    private_files    files that no other user may read: written whole or not at all

Used by the programs, the commands and the parts of the boss that keep a file of their own here.

It imports nothing of ours, starts and ends no process, and knows no HTTP, no SQL and no setting.
"""
