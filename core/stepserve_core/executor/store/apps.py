"""Apps and their functions."""

# ruff: noqa: S608 - statements are put together from constants of this module only

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from stepserve_core.executor.addresses import normalize_url
from stepserve_core.executor.flow.options import Flow, read_flow
from stepserve_core.executor.function_config import FunctionConfig
from stepserve_core.executor.store.changes import Changes


class App(msgspec.Struct, frozen=True):
    """A registered app. `error` says why the last sync failed; a URL that was never synced has an empty name."""

    id: str
    name: str
    url: str
    sdk: str
    framework: str
    version: str | None
    checksum: str
    error: str | None
    synced_at: float


class Function(msgspec.Struct, frozen=True):
    """A registered function. An archived one starts no new runs. `flow` is the flow control that it asks for."""

    id: str
    app_id: str
    slug: str
    config: FunctionConfig
    version: int
    archived: bool
    flow: Flow | None = None
    paused: str | None = None


HOLD, SKIP = "hold", "skip"
"""Modes of a paused function: its starts wait, or its new runs are skipped."""

_APP = "id, name, url, sdk, framework, version, checksum, error, synced_at"
_decode_config = msgspec.json.Decoder(FunctionConfig).decode


class Apps:
    """Statements about apps and functions."""

    def __init__(self, connection: sqlite3.Connection, changes: Changes) -> None:
        self._execute = connection.execute
        self._changes = changes

    def put(self, app: App) -> None:
        """Store an app, or replace it."""
        self._changes.apps = True
        self._execute(
            f"INSERT OR REPLACE INTO apps ({_APP}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", msgspec.structs.astuple(app)
        )

    def get(self, app_id: str) -> App | None:
        """Return an app."""
        row = self._execute(f"SELECT {_APP} FROM apps WHERE id = ?", (app_id,)).fetchone()
        return None if row is None else App(*row)

    def all(self) -> list[App]:
        """Return every app, by name."""
        return [App(*row) for row in self._execute(f"SELECT {_APP} FROM apps ORDER BY name, url")]

    def of_url(self, url: str) -> list[App]:
        """Return the apps that were synced from a URL, however it was written."""
        wanted = normalize_url(url)
        return [app for app in self.all() if normalize_url(app.url) == wanted]

    def remove_placeholder(self, url: str) -> None:
        """Remove the entry of a URL that had no app yet."""
        for app in self.of_url(url):
            if not app.name:
                self.remove(app.id)

    def remove(self, app_id: str) -> bool:
        """Remove an app. Return False where there is none."""
        self._changes.apps = True
        return self._execute("DELETE FROM apps WHERE id = ?", (app_id,)).rowcount > 0

    def set_error(self, app_id: str, error: str | None) -> None:
        """Note why the last sync failed, or that it worked."""
        updated = self._execute("UPDATE apps SET error = ? WHERE id = ? AND error IS NOT ?", (error, app_id, error))
        self._changes.apps |= updated.rowcount > 0

    def functions(self) -> list[Function]:
        """Return every function, archived ones too: their runs go on."""
        rows = self._execute(
            "SELECT id, app_id, slug, config, version, archived_at, paused FROM functions ORDER BY slug"
        )
        return [_to_function(row) for row in rows]

    def names_of(self, function_id: str) -> tuple[str, str]:
        """Return the name of a function's app, and the id by which that knows the function; both empty if unknown."""
        row = self._execute(
            "SELECT coalesce(a.name, ''), f.slug FROM functions f LEFT JOIN apps a ON a.id = f.app_id WHERE f.id = ?",
            (function_id,),
        ).fetchone()
        return ("", "") if row is None else (row[0], row[1])

    def put_function(self, function_id: str, app_id: str, config: FunctionConfig) -> None:
        """Store a function; its version grows with each sync that changes the app."""
        self._execute(
            "INSERT INTO functions (id, app_id, slug, config, version) VALUES (?, ?, ?, ?, 1) ON CONFLICT (id)"
            " DO UPDATE SET config = excluded.config, version = version + 1, archived_at = NULL",
            (function_id, app_id, config.id, msgspec.json.encode(config)),
        )

    def set_paused(self, function_id: str, mode: str | None) -> None:
        """Pause a function in a mode, or resume it."""
        self._changes.apps = True
        self._execute("UPDATE functions SET paused = ? WHERE id = ?", (mode, function_id))

    def archive_others(self, app_id: str, kept: list[str], now: float) -> list[str]:
        """Archive the functions of an app that are not among `kept`; return their ids."""
        rows = self._execute("SELECT id FROM functions WHERE app_id = ? AND archived_at IS NULL", (app_id,)).fetchall()
        gone = [function_id for (function_id,) in rows if function_id not in kept]
        for function_id in gone:
            self._execute("UPDATE functions SET archived_at = ? WHERE id = ?", (now, function_id))
        return gone


def _to_function(row: tuple[Any, ...]) -> Function:
    config = _decode_config(row[3])
    archived = row[5] is not None
    return Function(row[0], row[1], row[2], config, row[4], archived, read_flow(config), paused=row[6])
