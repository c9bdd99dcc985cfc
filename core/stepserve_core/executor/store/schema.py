"""The tables of schema version 1; `migrations` changes them from there.

Moments are Unix seconds (REAL), bodies and memos canonical JSON (BLOB), ids text.
"""

from __future__ import annotations

# queue: one index serves claims, timers and leases. `rank` is what orders an item within its state:
#   0 waiting: the moment when it is due · 1 ready: its priority, older runs first
#   2 leased: the moment when the lease ends · 3 blocked: as ready, until `blocked_on` has room again
# Job ids of a run begin with "<run id>:", so all of a run's items are one range of the primary key.
#
# steps: a row per step that was ever planned or done; `memo` is NULL until it has finished, and `position` is its
#   place in the stack. `attempt`, `queued_at`, `started_at` and `ended_at` are those of the last attempt; the failed
#   ones before it stand in attempts, as do the attempts of the function itself (hash '').
#
# pauses: what an event may end: a wait (kind 'wait'), an invocation ('invoke'), or a run ('cancel').
TABLES = """
CREATE TABLE apps (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, url TEXT NOT NULL, sdk TEXT NOT NULL, framework TEXT NOT NULL,
  version TEXT, checksum TEXT NOT NULL, error TEXT, synced_at REAL NOT NULL
);
CREATE INDEX apps_url ON apps (url);

CREATE TABLE functions (
  id TEXT PRIMARY KEY, app_id TEXT NOT NULL, slug TEXT NOT NULL, config BLOB NOT NULL, version INTEGER NOT NULL,
  archived_at REAL
);
CREATE INDEX functions_app ON functions (app_id);

CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, internal_id TEXT NOT NULL, external_id TEXT NOT NULL, name TEXT NOT NULL,
  ts INTEGER NOT NULL, received_at REAL NOT NULL, body BLOB NOT NULL
);
CREATE INDEX events_internal_id ON events (internal_id);
CREATE INDEX events_name ON events (name, seq);

CREATE TABLE runs (
  id TEXT PRIMARY KEY, function_id TEXT NOT NULL, function_version INTEGER NOT NULL, status TEXT NOT NULL,
  event_seq INTEGER NOT NULL, batch_id TEXT, cron TEXT, original_run_id TEXT, correlation_id TEXT,
  queued_at REAL NOT NULL, rank REAL NOT NULL, started_at REAL, ended_at REAL, output BLOB,
  request_version INTEGER NOT NULL DEFAULT -1, force_plan INTEGER NOT NULL DEFAULT 0,
  step_count INTEGER NOT NULL DEFAULT 0, state_size INTEGER NOT NULL DEFAULT 0, slot_keys TEXT
);
CREATE INDEX runs_event ON runs (event_seq);

CREATE TABLE steps (
  run_id TEXT NOT NULL, hash TEXT NOT NULL, name TEXT NOT NULL, op TEXT NOT NULL, status TEXT NOT NULL,
  races INTEGER NOT NULL, attempt INTEGER NOT NULL DEFAULT 0, queued_at REAL NOT NULL, started_at REAL,
  ended_at REAL, position INTEGER, memo BLOB, detail BLOB, PRIMARY KEY (run_id, hash)
);

CREATE TABLE attempts (
  run_id TEXT NOT NULL, hash TEXT NOT NULL, attempt INTEGER NOT NULL, status TEXT NOT NULL, queued_at REAL NOT NULL,
  started_at REAL NOT NULL, ended_at REAL NOT NULL, error BLOB
);
CREATE INDEX attempts_run ON attempts (run_id);

CREATE TABLE pending (
  run_id TEXT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (run_id, hash)
) WITHOUT ROWID;

CREATE TABLE queue (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, run_id TEXT NOT NULL, step TEXT, function_id TEXT NOT NULL,
  state INTEGER NOT NULL, rank REAL NOT NULL, priority REAL NOT NULL, attempt INTEGER NOT NULL DEFAULT 0,
  generation INTEGER NOT NULL DEFAULT 0, queued_at REAL NOT NULL, blocked_on TEXT, payload BLOB
) WITHOUT ROWID;
CREATE INDEX queue_order ON queue (state, rank);
CREATE INDEX queue_blocked ON queue (blocked_on, rank) WHERE blocked_on IS NOT NULL;

CREATE TABLE slots (
  key TEXT NOT NULL, item TEXT NOT NULL, PRIMARY KEY (key, item)
) WITHOUT ROWID;
CREATE INDEX slots_item ON slots (item);

CREATE TABLE pauses (
  run_id TEXT NOT NULL, hash TEXT NOT NULL, kind TEXT NOT NULL, event_name TEXT, expression TEXT,
  correlation_id TEXT UNIQUE, expires_at REAL NOT NULL, PRIMARY KEY (run_id, hash)
);
CREATE INDEX pauses_event ON pauses (event_name) WHERE event_name IS NOT NULL;

CREATE TABLE idempotency (
  key TEXT PRIMARY KEY, run_id TEXT NOT NULL, expires_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX idempotency_expiry ON idempotency (expires_at);
"""
