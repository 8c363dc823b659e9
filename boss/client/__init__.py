"""What the commands and users' scripts talk to a boss with: an HTTP client, and how a boss is found.

    find          the boss of the setting boss_url, or of a state directory: the one that runs, or one that is started
    in_process    the boss that does not run: its application in this process, over the state directory
    └─ in_process_transport    httpx without a network
    both give a Client (`client`): one method a route, the bodies of boss.api.schema
                  ├─ upload      sends the files of a push that the boss lacks
                  └─ download    fetches results into a directory, verified, in parallel

`require_packages` is the first thing that the commands run: are the Python packages here?

Of the server it imports the bodies and how results are bundled, and nothing else; `in_process` alone is the door to the
rest. But for `require_packages` it prints nothing and ends no program: what goes wrong is a ClientError with a
sentence.
"""
