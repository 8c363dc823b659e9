"""The bootstrap of a machine that a boss started: from its own Python alone to a running agent, and the agent's keeper.

    startup.sh ── bootstrap   keeps the machine's context, fetches the bundle for the start token, hands over
                  └─ __main__ ── account    the user that the agent runs as, and who may log in as it
                              ├─ login      the agent's login at the broker, had once for the start token
                              └─ keeper     starts the agent, and again when it dies; does what its exit code asks for
                                 └─ halt    halts a machine that was cut off from its boss for too long

Standard library only, and nothing of ecloud beside this package: it is in every bundle, and its first file is what a
machine has before it has a bundle. Under systemd or not it does the same.

It never runs, as root, what the agent's user could have written, and halts only a machine that a boss started.
"""
