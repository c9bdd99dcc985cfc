"""Damage of the database file: found when it is opened, and what to say about it.

SQLite notices damage where it reads. Without a look at the start a server would take events in, and fail at the first
timer that stands in a damaged page.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from stepserve_core.errors import ConfigurationError

CHECKED_WHOLE = 128 * 1024 * 1024
"""Bytes up to which a file is checked whole, in 0.2 s; of a larger one only what is needed to go on (see `_LIVE`)."""

_LIVE = ("apps", "functions", "queue", "pauses", "pending", "slots", "singletons", "gcra")
"""Tables that do not grow with what is stored, and without which no run goes on."""

_SMALLEST = 512
"""Bytes of the smallest page of SQLite; a file of fewer is no database, but SQLite would begin a new one in it."""


class DatabaseError(ConfigurationError):
    """The database file cannot be used."""


def is_damage(error: sqlite3.Error) -> bool:
    """Say whether SQLite found the file itself to be damaged."""
    return "malformed" in str(error)


def damaged(path: str | None, problem: object) -> DatabaseError:
    """Return the error for a damaged file."""
    return DatabaseError(
        f"{path} is damaged ({problem}); restore a backup (stepserve backup makes them): copy it to {path} and delete"
        f" {path}-wal and {path}-shm, which belong to the damaged file; or start with another file (--db)"
    )


def check_size(path: str) -> None:
    """Look at the size of a file before it is opened.

    Raises:
        DatabaseError: something was cut off.
    """
    file = Path(path)
    size = file.stat().st_size if file.is_file() else 0
    if 0 < size < _SMALLEST:
        raise damaged(path, f"it has {size} bytes only")


def check(connection: sqlite3.Connection, path: str) -> None:
    """Look for damage: in a small file everywhere, in a large one where the work that is under way is kept.

    Raises:
        DatabaseError: there is some; nothing was written.
    """
    try:
        problem = _find_cut(connection, path) or _find_damage(connection)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise  # a lock, or a disk that cannot be read
        raise damaged(path, error) from None
    if problem is not None:
        raise damaged(path, problem)


def _find_cut(connection: sqlite3.Connection, path: str) -> str | None:
    """A file holds whole pages, unless a copy was cut short. While there is a log its last page may come from there."""
    log = Path(f"{path}-wal")
    if log.is_file() and log.stat().st_size:
        return None
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    rest = Path(path).stat().st_size % page
    return f"its last page has {rest} bytes in place of {page}" if rest else None


def _find_damage(connection: sqlite3.Connection) -> str | None:
    (size,) = connection.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()
    checks = ["PRAGMA quick_check(1)"]
    if size > CHECKED_WHOLE:
        known = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        checks = [f"PRAGMA quick_check({table})" for table in _LIVE if table in known]
    for statement in checks:
        (verdict,) = connection.execute(statement).fetchone()
        if verdict != "ok":
            # "*** in database main ***" is a line of its own before what was found.
            return str(verdict).splitlines()[-1]
    return None
