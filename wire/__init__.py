"""What boss, workers and datastore send to each other, and how it travels. All import it; it imports none of them.

    messages        every message, one struct each; the ideas that hold everywhere stand at its top
    codec           messages to bytes and back: JSON, one limit of size, a version
    topics          on which MQTT topic a message travels
    link/           the connection to the broker: keeps one alive, publishes, hands on what arrives
    patterns        what `out/*.csv` means, alike for worker, boss and datastore
    other_version   as much of another version of the protocol as it takes to answer who speaks it
    http            names that both sides of HTTP between machines use
    tls             how a program verifies its broker and shows who it is
    rejected        how a program logs the messages that its agent did not act upon

All but `link` and `rejected` is pure: values and text. It decides nothing: a message of another version or of no form
is refused here, and whether one still counts is what its receiver knows (attempt, epoch, number, incarnation).
"""
