"""A TCP proxy of the tests: delays, slows, cuts and counts what goes through it. Knows bytes only.

Runs in threads of this process, in whatever network namespace its `network` says.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.worlds.hosts.namespaces import in_network
from tests.worlds.waiting import scaled

_PIECE = 65536


@dataclass
class Proxy:
    """`cut_after`: bytes from the target, over all connections, after which each connection is cut (None: never).

    `cut_sent_after`: the same of bytes to the target. `once`: only the first cut is made. `delay`: seconds that every
    piece waits in each direction. `refuse`: close new connections at once. `stall`: connections stay open and carry
    nothing. All may be changed while it runs; `to_target`, `from_target` count bytes.
    """

    target: tuple[str, int]
    port: int = 0
    delay: float = 0.0
    cut_after: int | None = None
    cut_sent_after: int | None = None
    once: bool = False
    refuse: bool = False
    stall: bool = False
    to_target: int = 0
    from_target: int = 0
    connections: int = 0
    cuts: int = 0
    _network: int | None = None
    _open: list[socket.socket] = field(default_factory=list)
    _ended: bool = False

    def cut(self) -> None:
        """Reset all that is open now."""
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1" if self._network is None else "10.77.0.254", self.port

    @contextlib.contextmanager
    def running(self, network: int | None = None, listen: str = "127.0.0.1") -> Iterator[Proxy]:
        """`network`: number of a process in the network to listen and connect in (`net.switch.pid`)."""
        self._network = network
        server = self._here(lambda: socket.create_server((listen, self.port)))
        self.port = server.getsockname()[1]
        accepting = threading.Thread(target=self._accept, args=(server,), name="proxy", daemon=True)
        accepting.start()
        try:
            yield self
        finally:
            self._ended = True
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            self.cut()
            accepting.join()
            server.close()

    def _here(self, make):  # type: ignore[no-untyped-def]
        return make() if self._network is None else in_network(self._network, make)

    def _accept(self, server: socket.socket) -> None:
        carriers: list[threading.Thread] = []
        while not self._ended:
            try:
                client, _ = server.accept()
            except OSError:
                break
            self.connections += 1
            if self.refuse:
                client.close()
                continue
            carrier = threading.Thread(target=self._carry, args=(client,), name="proxy-connection", daemon=True)
            carrier.start()
            carriers.append(carrier)
        for carrier in carriers:
            carrier.join()

    def _carry(self, client: socket.socket) -> None:
        with client:
            try:
                other = self._here(lambda: socket.create_connection(self.target, timeout=scaled(10)))
            except OSError:
                return
            with other:
                other.settimeout(None)
                self._open += [client, other]
                try:
                    self._exchange(client, other)
                except OSError:
                    pass
                finally:
                    self._open.remove(client)
                    self._open.remove(other)

    def _exchange(self, client: socket.socket, other: socket.socket) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ, other)
            ready.register(other, selectors.EVENT_READ, client)
            while not self._ended:
                for key, _ in ready.select(0.2):
                    if not self._forward(key.fileobj, key.data, key.fileobj is other):  # type: ignore[arg-type]
                        return

    def _forward(self, source: socket.socket, sink: socket.socket, backwards: bool) -> bool:
        """False once the connection is over."""
        while self.stall and not self._ended:
            time.sleep(0.02)
        piece = source.recv(_PIECE)
        if not piece:
            return False
        if self.delay:
            time.sleep(self.delay)
        so_far, limit = (self.from_target, self.cut_after) if backwards else (self.to_target, self.cut_sent_after)
        if limit is not None and so_far + len(piece) > limit:
            self.cuts += 1
            if self.once:
                self.cut_after = self.cut_sent_after = None
            return False
        if backwards:
            self.from_target += len(piece)
        else:
            self.to_target += len(piece)
        sink.sendall(piece)
        return True
