"""From an account at a cloud to a boss that answers, and back: what admin.py deploy, teardown and templates do.

    deploying ── made              the boss's machine: found by its mark, or made, and never twice
              ├─ settings_text     the settings.toml that it gets
              ├─ remote            a login there, at a host key that is known beforehand
              └─ install           bundle, settings, tokens, unit: put there and started
    teardown ── listed             what the cloud lists of a deployment; all of it is removed, by its mark
    templates ── one_text          templates for the cloud's administrator: rendered, registered, compared

`record` is what this machine keeps of a deployment, on disk before the call that it is about. Each step may be the
last one of a process: the same command finds what is there, and goes on.

It runs on the user's machine and needs no boss there. It trusts no name in the cloud, only the mark; it never prints
(`boss.cli.deploy` does) and never removes a disk that was not named.
"""
