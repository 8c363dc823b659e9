"""All of what a program is given so that it may run and log in, wherever it is.

    instance of a pool      bootstrap.py   variables with a start token (start_tokens.py), and start_script.py
      at its first boot                    its program as a bundle (bundles.py, made by bundle/)
                                           its login, once for the token (login_files.py)
    program of an operator  manual.py      its login by `admin.py login`; a look at its host (debug_worker.py)
    program beside the boss local.py       environment of the datastore and of local workers
    all of them             addresses.py   where boss and broker are, seen from other machines
                            ssh_keys.py    the keys with which boss and datastore log in at workers

Called by the HTTP handlers (`boss.api.handlers.logins`), by the providers for each start, and for orders
to be replaced before they are sent. It never decides whether an instance starts or stops, sends no message to a worker,
and puts no password into what a machine is started with.
"""
