"""The database's pure parts: addresses, SQL texts, the journal's packing, words for drivers' errors."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boss.core.rows import Move
from boss.database import errors, journal, statements, tables
from boss.database.engine import parse_url, place_of

words = st.text(max_size=20)
moves = st.builds(Move, st.sampled_from(["task", "attempt", "worker"]), words, st.integers(0, 9), words, words, words)


@given(st.lists(moves, max_size=50))
def test_the_journal_unpacks_what_was_packed(packed: list[Move]) -> None:
    assert journal.unpack(journal.pack(packed)) == packed


def test_many_alike_moves_take_little_room() -> None:
    packed = journal.pack([Move("task", str(number), 1, "queued", "running", "began") for number in range(1000)])
    assert len(packed) < 10_000


def test_the_range_is_of_tasks_only() -> None:
    moves = [Move("task", "7", 0, "", "", ""), Move("attempt", "3", 1, "", "", ""), Move("worker", "1", 0, "", "", "")]
    assert journal.task_range(moves) == (3, 7)
    assert journal.task_range([Move("worker", "w", 0, "", "", "")]) == (0, 0)


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("nonsense", "no URL"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("mysql://user@host", "names no database"),
        ("postgresql://host/name", "not supported"),
    ],
)
def test_an_address_that_cannot_serve_is_refused_in_a_sentence(address: str, fault: str) -> None:
    with pytest.raises(errors.DatabaseError, match=fault):
        parse_url(address)


@pytest.mark.parametrize(
    "address",
    [
        "mysql://user:geh@eim@host/name",
        "mysql+pymysql://user:geh@eim/x:1@host/name",
        "mysql://user:geh@ei:m@host/name",
        "mysql://user:geheim/x/name",
        "mysql://user:geheim@host:geheim/name",
        "mysql://user:geheim€@host/name",
        "mysql://user@host/name?geheim=1",
        "geheim",
    ],
)
def test_what_is_wrong_with_an_address_quotes_no_word_of_its_password(address: str) -> None:
    with pytest.raises(errors.DatabaseError) as caught:
        parse_url(address)
    text = str(caught.value)
    assert "the database's " in text and not any(part in text for part in ("geh", "eim"))
    assert caught.value.__suppress_context__ or caught.value.__context__ is None, "a traceback would quote it"


@pytest.mark.parametrize("sign", ["%40", "%3A", "%2F", "%3F", "%25"])
def test_signs_of_a_password_are_written_as_the_sentence_says(sign: str) -> None:
    url = parse_url(f"mysql://u:a{sign}b@h/n?ssl_ca=file&connect_timeout=5")
    assert url.password == f"a{chr(int(sign[1:], 16))}b" and place_of(url) == "n on h"


@pytest.mark.parametrize("address", ["mysql://u:secret@h/n", "mariadb://u:secret@h/n", "mysql+pymysql://u:secret@h/n"])
def test_a_server_is_named_without_its_password(address: str) -> None:
    url = parse_url(address)
    assert url.drivername == "mysql+pymysql" and url.query["charset"] == "utf8mb4"
    assert place_of(url) == "n on h"


def test_statements_are_written_for_each_kind_of_server() -> None:
    assert statements.upsert(tables.profiles, True) == (
        "INSERT INTO profiles (number, content) VALUES (?, ?)"
        " ON CONFLICT (number) DO UPDATE SET content = excluded.content"
    )
    assert statements.upsert(tables.profiles, False) == (
        "INSERT INTO profiles (number, content) VALUES (%s, %s) ON DUPLICATE KEY UPDATE content = VALUES(content)"
    )
    assert statements.delete(tables.records, True) == "DELETE FROM records WHERE task = ? AND attempt = ?"


def test_a_keyword_as_a_column_is_quoted() -> None:
    assert "`key`" in statements.insert(tables.results, False)


@pytest.mark.parametrize(
    ("odd", "stored"),
    [("\ud800x", "?x"), (2**64, 2**63 - 1), (-(2**64), -(2**63)), (float("nan"), 0.0), ("fine", "fine"), (None, None)],
)
def test_any_value_has_a_storable_neighbour(odd: object, stored: object) -> None:
    assert statements.storable(odd) == stored


def sqlite_error(code: int, words: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode = code  # type: ignore[misc]
    return error


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (sqlite_error(sqlite3.SQLITE_FULL, "database or disk is full"), errors.DatabaseFullError),
        (sqlite_error(sqlite3.SQLITE_IOERR_WRITE, "disk I/O error"), errors.DatabaseFullError),
        (sqlite_error(sqlite3.SQLITE_BUSY, "database is locked"), errors.DatabaseBusyError),
        (sqlite_error(sqlite3.SQLITE_READONLY, "readonly"), errors.NotWritableError),
        (sqlite_error(sqlite3.SQLITE_CORRUPT, "malformed"), errors.DatabaseError),
        (ConnectionResetError("gone"), errors.DatabaseUnavailableError),
        (Exception(1213, "Deadlock found"), errors.DatabaseBusyError),
        (Exception(2013, "Lost connection"), errors.DatabaseUnavailableError),
        (Exception(1021, "Disk full"), errors.DatabaseFullError),
        (Exception(1064, "syntax"), errors.StatementRefusedError),
        (Exception(1153, "packet"), errors.RowTooLargeError),
    ],
)
def test_a_drivers_error_becomes_ours_and_names_the_place(raw: Exception, kind: type[errors.DatabaseError]) -> None:
    ours = errors.translate(raw, "the place")
    assert type(ours) is kind
    assert "the place" in str(ours)


def test_a_bug_of_ours_is_not_dressed_up_as_the_databases_fault() -> None:
    with pytest.raises(KeyError), errors.translated("here"):
        raise KeyError("a bug")
    with pytest.raises(errors.DatabaseUnavailableError), errors.translated("here"):
        raise ConnectionRefusedError("no server")
