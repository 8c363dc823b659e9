"""The processes that a boss starts beside itself: how a child is started and ended, and the broker that is embedded.

    broker ── programs      Mosquitto where it is installed, else amqtt: its configuration, its command
           ├─ ports         a port that is free, kept, and proved to be the broker's own
           ├─ logins        who may log in and which topics each may use, as the two files that both brokers read
           └─ children ── processes    start, follow to the end, end exactly that process (pid and start time)
    amqtt_main ── amqtt_access         the process that amqtt is: logins, rights and limits
    broker_logins ── passwords         the password of each login, kept, and that the broker knows it
    kept_child                         a child that is started again whenever it ends: the datastore's program

`environments` is what the datastore and a local worker get as environment variables. `parent_death` is run as a file
where util-linux has no setpriv.

It decides nothing about workers or tasks: `boss.program` starts the broker and the datastore with it, `boss.providers`
the agents of local workers. It never listens beyond loopback unless it is asked to, and never without logins.
"""
