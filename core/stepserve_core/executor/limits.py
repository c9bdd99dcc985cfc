"""The limits of the server (executor.md 14). Sizes are bytes, durations seconds."""

from __future__ import annotations

MEBIBYTE = 1024 * 1024
DAY = 86_400.0

EVENT_SIZE = 3 * MEBIBYTE
EVENTS_PER_REQUEST = 5000
EVENT_NAME = 512
FORM_FIELDS = 1000
"""Fields of one form that is sent as an event, files included."""
EVENT_BODY = 64 * MEBIBYTE
"""Bytes of one request to the event API; upstream has no figure for it."""

JSON_DEPTH = 400
"""Levels of objects and lists inside each other, in events, answers and whatever becomes part of a run."""

REGISTER_BODY = 8 * MEBIBYTE

STEPS_PER_RUN = 1000
MOST_STEPS_PER_RUN = 10_000
"""What an override may raise the limit of steps to."""

OPS_PER_ANSWER = 1000
STEP_OUTPUT = 4 * MEBIBYTE
RUN_STATE = 32 * MEBIBYTE
CALL_BODY = 4 * MEBIBYTE
ANSWER_BODY = 8 * MEBIBYTE
CHECKPOINT_BODY = 8 * MEBIBYTE
SPANS_BODY = 8 * MEBIBYTE

LONGEST_WAIT = 366 * DAY
INVOKE_TIMEOUT = 365 * DAY
CANCEL_TIMEOUT = 365 * DAY
SIGNAL_TIMEOUT = 365 * DAY

DEFERS_PER_RUN = 20
DEFER_INPUT = 4 * MEBIBYTE
"""Bytes of one defer's input, and of all those of a run."""

STEP_METADATA = MEBIBYTE // 16
RUN_METADATA = MEBIBYTE

REALTIME_MESSAGE = MEBIBYTE // 2

DEFAULT_RETRIES = 4
MOST_RETRIES = 20
REDIRECTS = 60
GATEWAY_REDIRECTS = 10
GATEWAY_BODY = 4 * MEBIBYTE
IDEMPOTENCY_WINDOW = DAY

UNUSED_CONNECTION = 1.0
"""How long a connection to an app, or to whatever a gateway step asks, is kept without use. Less than servers keep
theirs (gunicorn 2 s, uvicorn, Hypercorn and Node 5 s): a call that meets one which is just being closed is lost, and
uses up an attempt."""
