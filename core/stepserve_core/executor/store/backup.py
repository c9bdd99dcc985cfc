"""Copying a database while a server writes it (SQLite's backup API)."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Generator
from pathlib import Path

from stepserve_core.executor.store.damage import DatabaseError
from stepserve_core.executor.store.database import APPLICATION_ID, connect
from stepserve_core.executor.store.tables import Tables

_WAIT = 60.0
"""Seconds that a file which another process locks is waited for."""


def back_up(source: str, target: str) -> int:
    """Copy the database `source` to the new file `target`; return its size in bytes.

    The copy holds everything that was committed when it began. A server that uses the file goes on reading and
    writing. The target appears when it is complete, so that a copy that was cut short is not taken for one.

    Raises:
        DatabaseError: there is no such database, it is not one of ours, or the target exists or cannot be written.
    """
    if not Path(source).is_file():
        raise DatabaseError(f"there is no database {source}")
    if Path(target).exists():
        raise DatabaseError(f"{target} exists already; a backup overwrites nothing")
    partial = Path(f"{target}.partial")
    try:
        partial.unlink(missing_ok=True)
        _copy(source, str(partial))
        partial.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise DatabaseError(f"{source} cannot be copied to {target}: {error}") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
    return Path(target).stat().st_size


@contextlib.contextmanager
def reading(path: str) -> Generator[Tables, None, None]:
    """Look into a database without changing it, also while a server uses it.

    Raises:
        DatabaseError: there is no such database, or it is not one of ours.
    """
    if not Path(path).is_file():
        raise DatabaseError(f"there is no database {path}")
    try:
        with contextlib.closing(connect(path, read_only=True)) as connection:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            if application != APPLICATION_ID:
                raise DatabaseError(f"{path} is not a database of stepserve")
            yield Tables(connection)
    except sqlite3.Error as error:
        raise DatabaseError(f"{path} cannot be read: {error}") from None


def _copy(source: str, target: str) -> None:
    with (
        contextlib.closing(sqlite3.connect(source, isolation_level=None, timeout=_WAIT)) as from_file,
        contextlib.closing(sqlite3.connect(target, isolation_level=None)) as to_file,
    ):
        (application,) = from_file.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION_ID:
            raise DatabaseError(f"{source} is not a database of stepserve")
        # All pages in one step: one snapshot, which writers in WAL mode neither wait for nor disturb.
        from_file.backup(to_file, pages=-1)
        # A copy is one file: without this a reader would look for a log next to it.
        to_file.execute("PRAGMA journal_mode = DELETE")
        (verdict,) = to_file.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise DatabaseError(f"the copy of {source} is damaged: {verdict}")
