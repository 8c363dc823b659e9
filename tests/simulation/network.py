"""The network and its broker: messages as bytes, late, twice, out of order, or never; links that are cut.

Every machine has one link to the broker. A message arrives if the sender's link stands when it is sent, the
receiver's when it arrives, and chance does not lose it on the way (which QoS 1 allows for across a
reconnection, and our protocol must bear at any time).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tests.simulation.clock import Clock


class Machine(Protocol):
    """What the network knows of a machine."""

    def receive(self, topic: str, payload: bytes, retained: bool) -> None: ...
    def link_changed(self, connected: bool) -> None: ...


class Network:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.machines: dict[str, Machine] = {}
        self.linked: dict[str, bool] = {}
        #: Machine -> incarnation of its link: what was on its way through an older link is lost.
        self.sessions: dict[str, int] = {}
        self.retained: dict[str, bytes] = {}
        self.readers: dict[str, Callable[[str], bool]] = {}
        #: Topic -> who reads it, in the order of their first joining; found out once for each.
        self._readers_of: dict[str, list[str]] = {}
        self.broker_up = True
        self.lose = 0.0
        self.double = 0.0
        self.slow = 0.0
        #: Everything takes so many times longer.
        self.pace = 1.0
        #: Machine -> until when nothing reaches it, or nothing of it gets out, over a link that seems to stand.
        self.deaf: dict[str, float] = {}
        self.mute: dict[str, float] = {}
        #: Machine -> what its client library has queued and not sent.
        self.held: dict[str, list[tuple[str, bytes, bool]]] = {}

    def join(self, name: str, machine: Machine, reads: Callable[[str], bool]) -> None:
        """A machine with a fresh process connects. `reads` says the same of a topic whenever one of this name joins."""
        self.machines[name] = machine
        if name not in self.readers:
            for topic, names in self._readers_of.items():
                if reads(topic):
                    names.append(name)
        self.readers[name] = reads
        self.sessions[name] = self.sessions.get(name, 0) + 1
        self.linked[name] = False
        session = self.sessions[name]
        self.clock.after(self.clock.between(0.01, 0.3), lambda: self._connect(name, session))

    def leave(self, name: str) -> None:
        """Its process is gone."""
        self.sessions[name] = self.sessions.get(name, 0) + 1
        self.linked[name] = False
        self.machines.pop(name, None)

    def cut(self, name: str, seconds: float) -> None:
        """The link breaks and comes back."""
        if not self.linked.get(name):
            return
        self._down(name)
        session = self.sessions[name]
        self.clock.after(seconds, lambda: self._connect(name, session))

    def cut_one_way(self, name: str, way: str, seconds: float) -> None:
        (self.deaf if way == "in" else self.mute)[name] = self.clock.now + seconds

    def hold(self, name: str) -> None:
        """From now on what the machine says waits in its client library."""
        self.held.setdefault(name, [])

    def release(self, name: str) -> None:
        """All of it goes out, however late, and even if the machine is gone by now."""
        for topic, payload, retain in self.held.pop(name, []):
            self._spread(topic, payload, retain)

    def restart_broker(self, seconds: float, *, keeps: bool) -> None:
        """kill -9 of the broker: all links break, and it has forgotten everything unless it `keeps`."""
        self.broker_up = False
        if not keeps:
            self.retained.clear()
        for name in list(self.machines):
            if self.linked.get(name):
                self._down(name)
            session = self.sessions[name]
            self.clock.after(seconds + self.clock.between(0.1, 2.0), lambda n=name, s=session: self._connect(n, s))
        self.clock.after(seconds, self._broker_back)

    def _broker_back(self) -> None:
        self.broker_up = True

    def publish(self, sender: str, topic: str, payload: bytes, *, retain: bool = False) -> None:
        if not self.linked.get(sender) or self.clock.now < self.mute.get(sender, 0.0):
            return
        if sender in self.held:
            self.held[sender].append((topic, payload, retain))
        else:
            self._spread(topic, payload, retain)

    def _spread(self, topic: str, payload: bytes, retain: bool) -> None:
        if retain:
            if payload:
                self.retained[topic] = payload
            else:
                self.retained.pop(topic, None)
        names = self._readers_of.get(topic)
        if names is None:
            names = self._readers_of[topic] = [name for name, reads in self.readers.items() if reads(topic)]
        for name in list(names):
            if name in self.machines:
                self._carry(name, topic, payload)

    def _carry(self, name: str, topic: str, payload: bytes) -> None:
        clock = self.clock
        if clock.chance(self.lose):
            return
        copies = 2 if clock.chance(self.double) else 1
        session = self.sessions[name]
        for _ in range(copies):
            delay = clock.between(0.001, 0.01) * self.pace
            if clock.chance(self.slow):
                delay += clock.between(0.1, 20.0)
            clock.after(delay, lambda: self._arrive(name, session, topic, payload))

    def _arrive(self, name: str, session: int, topic: str, payload: bytes) -> None:
        heard = self.clock.now >= self.deaf.get(name, 0.0)
        if heard and self.linked.get(name) and self.sessions[name] == session:
            self.machines[name].receive(topic, payload, False)

    def _connect(self, name: str, session: int) -> None:
        if self.sessions.get(name) != session or name not in self.machines or self.linked[name]:
            return
        if not self.broker_up:
            self.clock.after(0.5, lambda: self._connect(name, session))
            return
        self.linked[name] = True
        for topic, payload in list(self.retained.items()):
            if self.readers[name](topic):
                self.machines[name].receive(topic, payload, True)
            if self.sessions[name] != session or name not in self.machines:
                return  # what it was sent killed it
        self.machines[name].link_changed(True)

    def _down(self, name: str) -> None:
        self.linked[name] = False
        self.sessions[name] += 1
        session = self.sessions[name]
        machine = self.machines[name]

        def notify() -> None:
            if self.sessions.get(name) == session and self.machines.get(name) is machine and not self.linked[name]:
                machine.link_changed(False)

        self.clock.after(self.clock.between(0.0, 2.0), notify)
