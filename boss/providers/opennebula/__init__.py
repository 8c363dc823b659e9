"""Workers as virtual machines of an OpenNebula cloud, by its XML-RPC interface (pyone).

    make ── provider            one thread: begins machines, lists all of them once a cycle, and compares
            ├─ client ── login  calls that end, with a login token that is renewed
            │         └─ quotas what the account, its group and its network leave: how many more
            ├─ machines         what the states of a virtual machine mean
            ├─ template         what a machine is made from; the disk that outlives the datastore's machine
            ├─ nics             further network interfaces, for init tasks
            ├─ timeouts         how long a machine may wait for a host, or be seen no more with its own
            └─ errors           what an error means: its kind, and a sentence with what an operator can do

Pure are `machines`, `template`, `timeouts` and `errors`. `boss.deploy` uses the same client for the
boss's own machine.

A call whose answer is lost is never repeated blindly: a later list tells whether it took effect. Only machines with
this deployment's mark are ever ended, and the provider removes no disk.
"""
