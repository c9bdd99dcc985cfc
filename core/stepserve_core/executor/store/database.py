"""Opening the database: one process per file, WAL, schema version."""

from __future__ import annotations

import atexit
import functools
import logging
import sqlite3
import threading
from pathlib import Path

from stepserve_core.executor.store.damage import DatabaseError, check, check_size, damaged, is_damage
from stepserve_core.executor.store.migrations import VERSION, migrate

_log = logging.getLogger(__name__)

APPLICATION_ID = 0x57E95E12
"""Marks our files, so that a foreign database is refused and not written to."""

_OLDEST_SQLITE = (3, 35, 0)
BUSY_TIMEOUT = 10.0
"""Seconds that a lock of another process is waited for before writing fails."""

SYNCHRONOUS = ("FULL", "NORMAL", "OFF")


def open_database(path: str | None, synchronous: str = "FULL") -> sqlite3.Connection:
    """Open (and create) the database; None keeps it in memory.

    Args:
        path: the file.
        synchronous: FULL survives loss of power, NORMAL a killed process; OFF is for tests.

    Raises:
        DatabaseError: SQLite is too old, or the file is not ours, newer than this version, damaged, or unreadable.
    """
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise DatabaseError(f"the executor needs SQLite 3.35 or newer; this Python has {sqlite3.sqlite_version}")
    if synchronous not in SYNCHRONOUS:
        raise DatabaseError(f"synchronous must be one of {', '.join(SYNCHRONOUS)}, not {synchronous!r}")
    if path is not None:
        check_size(path)
    try:
        connection = connect(path or ":memory:")
    except sqlite3.Error as error:
        raise DatabaseError(f"the database {path} cannot be opened: {error}") from None
    try:
        _prepare(connection, path, synchronous)
    except sqlite3.OperationalError as error:
        connection.close()
        raise DatabaseError(f"the database {path} cannot be used: {error}") from None
    except sqlite3.Error as error:
        connection.close()
        if is_damage(error):
            raise damaged(path, error) from None
        raise DatabaseError(f"{path} is not a database of stepserve: {error}; choose another file (--db)") from None
    except DatabaseError:
        connection.close()
        raise
    return connection


def connect(path: str, *, read_only: bool = False) -> sqlite3.Connection:
    """Connect without touching the schema. Transactions are ours alone (no implicit BEGIN)."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=512, timeout=BUSY_TIMEOUT
    )
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    return connection


def hold_lock(path: str) -> sqlite3.Connection:
    """Hold the file for this process: a second one would take the leases of the first for those of a dead one.

    The lock is an open transaction on a small file next to the database; the system releases it however we die.
    Close the connection to give it up.

    Raises:
        DatabaseError: another process holds it, or the folder cannot be written.
    """
    try:
        Path(path).resolve().parent.mkdir(parents=True, exist_ok=True)
        lock = sqlite3.connect(f"{path}.lock", isolation_level=None, check_same_thread=False, timeout=0.2)
    except (OSError, sqlite3.Error) as error:
        raise DatabaseError(f"the database {path} cannot be opened: {error}") from None
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        lock.close()
        raise DatabaseError(f"the database {path} is in use by another process ({error})") from None
    return lock


def _prepare(connection: sqlite3.Connection, path: str | None, synchronous: str) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application != APPLICATION_ID:
        raise DatabaseError(f"{path} is a database of another program; choose another file (--db)")
    if version > VERSION:
        raise DatabaseError(f"{path} was written by a newer version of stepserve (schema {version}); upgrade stepserve")
    if tables and path is not None:
        check(connection, path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -32000")
    # Pages that many commits change are copied into the file once for them all, and what a long reader (a backup) let
    # the log grow by is given back after it. Under load the log stays at 16 MB, with readers too.
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    if version < VERSION:
        _migrate(connection, path, version)


def _migrate(connection: sqlite3.Connection, path: str | None, version: int) -> None:
    if path is None:
        with _blank_lock:
            _blank().backup(connection)
        return
    if version:
        _log.warning("migrating %s from schema %d to %d", path, version, VERSION)
    try:
        migrate(connection, version, APPLICATION_ID)
    except sqlite3.Error as error:
        raise DatabaseError(f"{path} cannot be migrated from schema {version} to {VERSION}: {error}") from None


_blank_lock = threading.Lock()


@functools.cache
def _blank() -> sqlite3.Connection:
    """Return a database in memory with all tables and no rows. To copy it takes a tenth of the time of making one."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    atexit.register(connection.close)
    migrate(connection, 0, APPLICATION_ID)
    return connection
