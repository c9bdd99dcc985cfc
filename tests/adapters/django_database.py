"""A SQLite file in the place of Django's databases, for the time of a test."""

from __future__ import annotations

import contextlib
import pathlib
import sqlite3
from collections.abc import Generator
from typing import Any

import pytest
from django.db import connections

from tests.frameworks.django import DATABASES


class Database:
    """The files, as somebody else sees them."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder

    def path(self, alias: str = "default") -> pathlib.Path:
        """Return the file of a database."""
        return self._folder / f"{alias}.sqlite3"

    def orders(self, alias: str = "default") -> list[str]:
        """Return the orders that are committed."""
        with contextlib.closing(sqlite3.connect(self.path(alias))) as connection:
            return [name for (name,) in connection.execute("SELECT name FROM orders ORDER BY name")]


@contextlib.contextmanager
def database_files(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> Generator[Database, None, None]:
    """Let Django use files with a table `orders`; `settings` are those of its databases, such as CONN_MAX_AGE."""
    connections.close_all()
    database = Database(folder)
    for alias in DATABASES:
        with contextlib.closing(sqlite3.connect(database.path(alias))) as connection:
            connection.execute("CREATE TABLE orders (name TEXT)")
        configured: Any = connections.settings[alias]
        for name, value in {"NAME": str(database.path(alias)), **settings}.items():
            monkeypatch.setitem(configured, name, value)
    yield database
    connections.close_all()
