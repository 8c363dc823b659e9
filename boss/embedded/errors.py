"""What goes wrong with the processes that the boss starts for itself.

EmbeddedError
├── BrokerError           the environment: no embedded broker can be started; says why and what can be done
├── ChildError            the environment: a program cannot be started
├── ProcessError          the environment: a process cannot be stopped
├── PortError             the environment: no free port
├── LoginError            a bug or a setting: an MQTT login that is not valid
└── PacketTooLargeError   a client: it announced more bytes than a message may have
"""

from __future__ import annotations


class EmbeddedError(Exception):
    """The text is a sentence for operators."""
