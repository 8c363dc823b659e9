"""The commands: what admin.py and push_tasks.py do and print. The two programs have only options and registration.

    admin.py ── app            how a command is registered, and the former names that still work
             └─ lists, tasks, journal, workers, results, context, machines, deploy      one file a group of commands
                ├─ target      the state directory, its settings, and a client of the boss (boss.client)
                ├─ format_*    answers of the boss as lines of text, a file a subject; pure
                └─ command     what commands share: options, exit codes, errors, warnings, output

    push_tasks.py ── push_file ── format_push, graph_picture     the file, checked; its graph as a picture
                               └─ push ── follow, format_push    find or start a boss, send, submit; follow; sum up

`terminal` makes foreign text harmless and draws the progress line. What takes time to import (the application of an
offline boss, paramiko, pyone) is imported by the command that needs it, never at the top.

Commands decide nothing about tasks and know no SQL. They read no settings: the programs hand in the loader.
"""
