"""The boss: accepts graphs of tasks, has workers execute them, keeps how they ended. docs/architecture.md is the map.

    __main__ ── program      the settings' values in; all parts are made and started, and end in the opposite order
                ├─ loop      one thread, turn after turn; what it does while the database is away
                │  ├─ inbox  where every other thread puts what it has for the loop
                │  └─ turn   `core` decides, `database` records, effects are performed
                │     └─ dispatch    orders on their way out, filled in from the database
                ├─ messages  MQTT: effects to messages, messages to events
                ├─ api       HTTP: requests to events, views and rows to answers
                ├─ providers, bootstrap      instances of workers, and what their machines are given at their start
                └─ embedded  child processes: the broker of a boss that has none, and the programs beside it

`setup` is what these parts read of the settings, `status` has the sentences about why work waits. `configuration` is
how a setting is written, `state_directory` what is in `.ecloud/`, `intake` how task files are checked, `ssh` a
connection to a host. `client`, `cli` and `deploy` run on the user's side: they talk to a boss.

No thread but the loop's touches the scheduler's state, and nothing has an effect before what caused it is on disk.
"""
