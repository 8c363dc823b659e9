"""A datastore on another host and the boss's HTTP API, over real sockets: fetching, sending, what breaks."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from boss.api.app import make_app
from boss.api.from_datastore import ResultFetcher
from boss.api.serve import Server
from boss.api.spool import Spool
from boss.state_directory.tokens import DATASTORE_TOKEN_FILE, ensure_token
from datastore.disk import content
from datastore.disk.index import Index
from datastore.disk.names import Names
from datastore.disk.tree import PARTS, Tree
from datastore.disk.versions import Versions
from datastore.exchange import BY_HTTP, Exchange
from datastore.http import Boss, BossRefusedError, BossUnreachableError
from datastore.store import Storage
from tests.worlds.api import FakeBackend, serve
from tests.worlds.digests import digest
from tests.worlds.waiting import scaled
from wire.messages import Send, SendFailed, Sent, Store, Stored, StoreFailed

CONTENT = bytes(range(256)) * 12_000  # 3 MB: several pieces each way


class World:
    """A boss that serves files, a tree, and a proxy between them that can cut."""

    def __init__(self, directory: Path) -> None:
        state = directory / ".ecloud"
        state.mkdir()
        self.token = ensure_token(state, DATASTORE_TOKEN_FILE)
        self.token_file = state / DATASTORE_TOKEN_FILE
        self.backend = FakeBackend(directory)
        self.fetching = ResultFetcher(directory / "outgoing", 4_000_000)
        self.spool = Spool(self.backend.spool, 100_000_000)
        app = make_app(
            self.backend, ["the-other-token"], fetching=self.fetching, files_tokens=[self.token], spool=self.spool
        )
        self.server: Server = serve(app)
        self.stopped = threading.Event()
        self.tree = Tree(directory / "tree", "one")
        self.index = Index(self.tree.index_path)
        self.bosses: list[Boss] = []
        self.boss = self.boss_at(self.server.url)

    def boss_at(self, url: str) -> Boss:
        boss = Boss(url, self.token_file, self.stopped.is_set, pause_seconds=0.01)
        self.bosses.append(boss)
        return boss

    def storage(self, boss: Boss | None) -> tuple[Storage, Exchange]:
        names, versions = Names(self.tree, self.index), Versions(self.tree, self.index)
        exchange = Exchange(self.tree, versions, self.stopped.is_set, boss)
        return Storage(self.tree, self.index, names, versions, content.never, exchange), exchange

    def store(self, data: bytes = CONTENT, boss: Boss | None = None, **changes: object) -> Stored | StoreFailed:
        fields = {"name": "net.inp", "digest": digest(data), "size": len(data), **changes}
        source = f"{BY_HTTP}/api/v1/blobs/{fields['digest']}"
        (answer,) = self.storage(boss or self.boss)[0].store([Store(source=source, **fields)]).answers  # type: ignore[arg-type]
        return answer

    def push(self, data: bytes = CONTENT) -> None:
        with self.spool.upload(digest(data), 0, len(data)) as upload:
            upload.write(data)
            upload.close()

    def send(self, data: bytes = CONTENT, boss: Boss | None = None) -> Sent | SendFailed:
        (self.tree.root / "out").write_bytes(data)
        return self.storage(boss or self.boss)[1].send(Send(name="out", digest=digest(data), size=len(data)))

    def parts(self) -> dict[str, int]:
        return {path.name: path.stat().st_size for path in (self.tree.root / PARTS).iterdir()}

    def close(self) -> None:
        for boss in self.bosses:
            boss.close()
        self.server.stop()
        self.index.close()
        self.tree.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


class Cutter:
    """Forwards connections to a port; each one is cut after so many bytes one way or the other."""

    def __init__(self, port: int, cuts: list[int | None]) -> None:
        self.port_behind, self.cuts = port, cuts
        self.connections = 0
        self.ends: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            cut = self.cuts[min(self.connections, len(self.cuts) - 1)]
            self.connections += 1
            behind = socket.create_connection(("127.0.0.1", self.port_behind))
            self.ends += [client, behind]
            left = [cut if cut is not None else 1 << 60]
            for one, other in ((client, behind), (behind, client)):
                threading.Thread(target=self._forward, args=(one, other, left), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, left: list[int]) -> None:
        try:
            while data := source.recv(65_536):
                target.sendall(data[: max(0, left[0])])
                left[0] -= len(data)
                if left[0] <= 0:
                    break
        except OSError:
            pass
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(scaled(5))
        for end in self.ends:
            end.close()


def cutter(world: World, *cuts: int | None) -> Cutter:
    return Cutter(world.server.port, list(cuts))


# --- from the boss -----------------------------------------------------------------------------------


def test_a_sent_file_is_fetched_and_gets_its_name_and_is_kept_by_its_digest(world: World) -> None:
    world.push()
    assert world.store(executable=True) == Stored(name="net.inp", digest=digest(CONTENT))
    path = world.tree.root / "net.inp"
    assert path.read_bytes() == CONTENT and path.stat().st_mode & 0o777 == 0o755
    assert world.parts() == {}


def test_an_empty_file_needs_no_fetching(world: World) -> None:
    assert isinstance(world.store(b""), Stored)
    assert (world.tree.root / "net.inp").read_bytes() == b""


def test_what_is_kept_here_is_not_fetched_again_for_another_name(world: World) -> None:
    world.push()
    world.store()
    world.server.stop()
    assert isinstance(world.store(name="copy.inp"), Stored)
    assert (world.tree.root / "copy.inp").read_bytes() == CONTENT


def test_a_connection_that_is_cut_goes_on_where_it_was(world: World) -> None:
    world.push()
    proxy = cutter(world, 1_000_000, 1_000_000, None)
    assert isinstance(world.store(boss=world.boss_at(proxy.url)), Stored)
    assert proxy.connections == 3
    assert (world.tree.root / "net.inp").read_bytes() == CONTENT
    proxy.close()


def test_what_came_before_a_restart_is_gone_on_with(world: World) -> None:
    world.push()
    proxy = cutter(world, 1_000_000, 0)
    failed = world.store(boss=world.boss_at(proxy.url))
    assert isinstance(failed, StoreFailed) and proxy.url in failed.reason
    (size,) = world.parts().values()
    assert 0 < size < len(CONTENT)
    world.tree.sweep()  # as the next start does
    proxy.cuts[:] = [len(CONTENT) - size + 2_000]  # no room for what is there already
    proxy.connections = 0
    assert isinstance(world.store(boss=world.boss_at(proxy.url)), Stored)
    proxy.close()


def test_a_part_that_is_not_the_beginning_of_the_content_is_thrown_away(world: World) -> None:
    world.push()
    (world.tree.root / PARTS / digest(CONTENT)[3:]).write_bytes(b"something else")
    failed = world.store()
    assert isinstance(failed, StoreFailed) and "has the digest" in failed.reason
    assert world.parts() == {}
    assert isinstance(world.store(), Stored)


def test_a_boss_that_is_away_is_named(world: World) -> None:
    world.server.stop()
    failed = world.store()
    assert isinstance(failed, StoreFailed) and f"the boss at {world.server.url} does not answer" in failed.reason


def test_a_boss_that_has_it_no_more_says_so(world: World) -> None:
    failed = world.store()
    assert isinstance(failed, StoreFailed) and "push again" in failed.reason


def test_a_token_that_is_refused_is_reported_with_its_file_and_never_itself(world: World) -> None:
    world.push()
    world.token_file.write_text("another-token\n")
    failed = world.store()
    assert isinstance(failed, StoreFailed) and str(world.token_file) in failed.reason
    assert "another-token" not in failed.reason
    world.token_file.write_text(world.token + "\n")
    assert isinstance(world.store(), Stored), "the token is read again"


def test_a_boss_that_is_called_by_a_wrong_name_says_so(world: World) -> None:
    world.push()
    failed = world.store(boss=world.boss_at(world.server.url.replace("127.0.0.1", "127.1")))
    assert (
        isinstance(failed, StoreFailed)
        and "names no address of the boss" in failed.reason
        and "token" not in failed.reason
    )


def test_without_a_way_to_the_boss_the_user_learns_which_option_is_missing(world: World) -> None:
    world.push()
    order = Store(name="a", digest=digest(CONTENT), size=len(CONTENT), source=f"{BY_HTTP}/api/v1/blobs/x")
    (failed,) = world.storage(None)[0].store([order]).answers
    assert isinstance(failed, StoreFailed) and "--boss-url" in failed.reason


def test_an_order_can_send_the_token_nowhere_else(world: World) -> None:
    """Its source is a path; the host is the datastore's own knowledge."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.2)
    port = listener.getsockname()[1]
    for source in (
        f"{BY_HTTP}http://127.0.0.1:{port}/x",
        f"{BY_HTTP}//127.0.0.1:{port}/x",
        f"http://127.0.0.1:{port}/",
    ):
        order = Store(name="a", digest=digest(b"x"), size=1, source=source)
        (failed,) = world.storage(world.boss)[0].store([order]).answers
        assert isinstance(failed, StoreFailed)
    with pytest.raises(TimeoutError):
        listener.accept()
    listener.close()


# --- to the boss -------------------------------------------------------------------------------------


def test_what_is_wanted_is_sent_whole(world: World) -> None:
    assert world.send() == Sent(digest=digest(CONTENT))
    assert world.fetching.spool.has(digest(CONTENT))
    assert isinstance(world.send(), Sent), "once more does no harm"
    assert isinstance(world.send(b""), Sent)


def test_a_sending_that_is_cut_goes_on_where_it_was(world: World) -> None:
    proxy = cutter(world, 1_000_000, 1_200_000, None)
    assert isinstance(world.send(boss=world.boss_at(proxy.url)), Sent)
    assert proxy.connections >= 3
    proxy.close()


def test_a_content_that_is_not_here_any_more_or_has_no_room_there_is_reported(world: World) -> None:
    exchange = world.storage(world.boss)[1]
    gone = exchange.send(Send(name="none", digest=digest(b"none"), size=4))
    assert isinstance(gone, SendFailed) and "not on the datastore" in gone.reason
    large = world.send(CONTENT * 2)
    assert isinstance(large, SendFailed) and "spool" in large.reason


def test_ending_the_program_ends_what_is_under_way(world: World) -> None:
    listener = socket.create_server(("127.0.0.1", 0))  # accepts by the kernel, never answers
    boss = world.boss_at(f"http://127.0.0.1:{listener.getsockname()[1]}")
    errors: list[BaseException] = []

    def fetch() -> None:
        try:
            boss.fetch("/x", os.open(world.tree.root / "x", os.O_RDWR | os.O_CREAT), 5)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    client, _ = listener.accept()
    client.recv(1000)
    world.stopped.set()
    boss.stop()
    thread.join(scaled(10))
    assert [type(error) for error in errors] == [content.CopyStoppedError]
    client.close()
    listener.close()


@pytest.mark.parametrize("url", ["", "ftp://h", "http://", "boss:80", "http://user:pw@h/", "http://h/?token=x"])
def test_a_url_that_cannot_be_is_refused_at_the_start(world: World, url: str) -> None:
    with pytest.raises(ValueError, match="cannot be used"):
        world.boss_at(url)


def test_a_token_file_that_cannot_be_read_is_reported_at_the_start(world: World) -> None:
    world.token_file.unlink()
    with pytest.raises(BossRefusedError, match="cannot be read"):
        world.boss_at(world.server.url)


def test_what_is_no_boss_is_reported(world: World) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def greet() -> None:
        client, _ = listener.accept()
        client.recv(10_000)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")
        client.close()

    thread = threading.Thread(target=greet)
    thread.start()
    failed = world.send(boss=world.boss_at(f"http://127.0.0.1:{listener.getsockname()[1]}"))
    assert isinstance(failed, SendFailed) and "is no boss" in failed.reason
    thread.join(scaled(10))
    listener.close()


def test_a_boss_that_cannot_answer_at_present_is_worth_another_try(world: World) -> None:
    assert issubclass(BossUnreachableError, Exception)
    answers = [b'HTTP/1.1 503 x\r\nContent-Length: 16\r\n\r\n{"error": "off"}'] * 3
    listener = socket.create_server(("127.0.0.1", 0))

    def serve_them() -> None:
        client, _ = listener.accept()
        for answer in answers:
            client.recv(10_000)
            client.sendall(answer)
        client.close()

    thread = threading.Thread(target=serve_them)
    thread.start()
    failed = world.store(boss=world.boss_at(f"http://127.0.0.1:{listener.getsockname()[1]}"))
    assert isinstance(failed, StoreFailed) and "cannot answer at present: off" in failed.reason
    thread.join(scaled(10))
    listener.close()
