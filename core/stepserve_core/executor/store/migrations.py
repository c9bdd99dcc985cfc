"""From one schema version to the next. A new file goes the same way, so that old and new files have equal tables.

To change the tables, add a script at the end of `MIGRATIONS`; one that was released is never edited.
"""

from __future__ import annotations

import sqlite3

from stepserve_core.executor.store.schema import TABLES

# runs.flow: what the run holds until it ends and what its start asks for, JSON of `flow/holds.py`; NULL for none.
# gcra: a rate's "theoretical arrival time" per key (executor.md 7.3 and 7.4). Once it has passed, the row says nothing.
# batches: `run_id` is NULL while a batch is open; one is open per function and key. Its events stay those of its run.
# pauses.match_path, match_value: an equality that the expression needs, as a path into the new event and the JSON of
#   the value there; both empty where the expression has none. An event finds the pauses that it may end by them.
_FLOW_CONTROL = """
ALTER TABLE runs ADD COLUMN flow TEXT;
ALTER TABLE runs ADD COLUMN skip_reason TEXT;
ALTER TABLE runs ADD COLUMN skip_existing_run_id TEXT;
ALTER TABLE functions ADD COLUMN paused TEXT;

CREATE TABLE gcra (key TEXT PRIMARY KEY, tat REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX gcra_tat ON gcra (tat);

CREATE TABLE singletons (key TEXT PRIMARY KEY, run_id TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE batches (
  id TEXT PRIMARY KEY, function_id TEXT NOT NULL, key TEXT NOT NULL, run_id TEXT,
  events INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE UNIQUE INDEX batches_open ON batches (function_id, key) WHERE run_id IS NULL;
CREATE TABLE batch_events (
  batch_id TEXT NOT NULL, event_seq INTEGER NOT NULL, function_id TEXT NOT NULL, internal_id TEXT NOT NULL,
  added_at REAL NOT NULL, PRIMARY KEY (batch_id, event_seq)
) WITHOUT ROWID;
CREATE INDEX batch_events_known ON batch_events (internal_id, function_id);

ALTER TABLE pauses ADD COLUMN match_path TEXT NOT NULL DEFAULT '';
ALTER TABLE pauses ADD COLUMN match_value TEXT NOT NULL DEFAULT '';
DROP INDEX pauses_event;
CREATE INDEX pauses_event ON pauses (event_name, match_path, match_value) WHERE event_name IS NOT NULL;
"""

_CANCELLATIONS = """
CREATE TABLE cancellations (
  id TEXT PRIMARY KEY, function_id TEXT NOT NULL, started_after REAL, started_before REAL NOT NULL, expression TEXT,
  created_at REAL NOT NULL, cursor TEXT NOT NULL, before TEXT NOT NULL, cancelled INTEGER NOT NULL, finished_at REAL
) WITHOUT ROWID;
"""

# What lists of runs seek in. The two partial ones make "active" and "failed" quick among a million completed runs.
_RUN_LISTS = """
CREATE INDEX runs_queued ON runs (queued_at, id);
CREATE INDEX runs_function ON runs (function_id, queued_at, id);
CREATE INDEX runs_active ON runs (queued_at, id) WHERE ended_at IS NULL;
CREATE INDEX runs_failed ON runs (queued_at, id) WHERE status IN ('Failed', 'Cancelled');
CREATE INDEX runs_ended ON runs (ended_at, id) WHERE ended_at IS NOT NULL;
"""

# defers: functions that a run wants started when it has ended; `runs.defers` counts them.
# metadata: what a run ('' as hash) or a step says about itself: kind to a JSON object.
_EXTRAS = """
ALTER TABLE runs ADD COLUMN defers INTEGER NOT NULL DEFAULT 0;
CREATE TABLE defers (
  run_id TEXT NOT NULL, hash TEXT NOT NULL, name TEXT NOT NULL, slug TEXT NOT NULL, status TEXT NOT NULL,
  input BLOB NOT NULL, PRIMARY KEY (run_id, hash)
) WITHOUT ROWID;
CREATE TABLE metadata (
  run_id TEXT NOT NULL, hash TEXT NOT NULL, kind TEXT NOT NULL, content BLOB NOT NULL,
  PRIMARY KEY (run_id, hash, kind)
) WITHOUT ROWID;
"""

# runs.edited_step, edited_input: a step that runs with other arguments than the function gives it, and these as JSON.
_RERUNS = """
ALTER TABLE runs ADD COLUMN edited_step TEXT;
ALTER TABLE runs ADD COLUMN edited_input BLOB;
"""

# Counts the starts of a function that wait, for the limit of its backlog.
_BACKLOG = """
CREATE INDEX queue_starts ON queue (function_id) WHERE kind = 'start';
"""

# backlogs: how many starts of a function wait or are under way. Counted by the database itself, so that the limit of a
#   long backlog costs one look-up. Two statements, because a trigger takes over the IGNORE of what fires it.
_BACKLOG_COUNTS = """
DROP INDEX queue_starts;
CREATE TABLE backlogs (function_id TEXT PRIMARY KEY, starts INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO backlogs SELECT function_id, count(*) FROM queue WHERE kind = 'start' GROUP BY function_id;
CREATE TRIGGER backlogs_added AFTER INSERT ON queue WHEN NEW.kind = 'start' BEGIN
  INSERT OR IGNORE INTO backlogs (function_id, starts) VALUES (NEW.function_id, 0);
  UPDATE backlogs SET starts = starts + 1 WHERE function_id = NEW.function_id;
END;
CREATE TRIGGER backlogs_removed AFTER DELETE ON queue WHEN OLD.kind = 'start' BEGIN
  UPDATE backlogs SET starts = starts - 1 WHERE function_id = OLD.function_id;
END;
"""

# Each status, and each function with a status, is a range in the order of time: see `run_pages`. Events by name, and
# those that are not our own, likewise: see `events`.
_SEEKS = """
DROP INDEX runs_active;
DROP INDEX runs_failed;
DROP INDEX runs_function;
CREATE INDEX runs_status ON runs (status, queued_at, id);
CREATE INDEX runs_function ON runs (function_id, status, queued_at, id);
CREATE INDEX runs_started ON runs (started_at, id) WHERE started_at IS NOT NULL;
CREATE INDEX events_named ON events (name, internal_id);
CREATE INDEX events_users ON events (internal_id) WHERE name < 'inngest/' OR name >= 'inngest0';
"""

# With the status in it, this index alone says how many runs ended how, also where these are a million.
_OVERVIEW = """
DROP INDEX runs_ended;
CREATE INDEX runs_ended ON runs (ended_at, id, status) WHERE ended_at IS NOT NULL;
"""

MIGRATIONS = (
    TABLES,
    _FLOW_CONTROL,
    _CANCELLATIONS,
    _RUN_LISTS,
    _EXTRAS,
    _RERUNS,
    _BACKLOG,
    _BACKLOG_COUNTS,
    _SEEKS,
    _OVERVIEW,
)
VERSION = len(MIGRATIONS)
"""The schema version that this code reads and writes; stored as `user_version`."""


def migrate(connection: sqlite3.Connection, version: int, application_id: int) -> None:
    """Bring a file of schema `version` (0: an empty one) to `VERSION`, in one transaction.

    Raises:
        sqlite3.Error: it was not possible; the file is as it was.
    """
    scripts = "".join(MIGRATIONS[version:])
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE; {scripts} PRAGMA application_id = {application_id};"
            f" PRAGMA user_version = {VERSION}; COMMIT;"
        )
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
