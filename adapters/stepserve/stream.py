"""Streaming from durable endpoints to their clients; see `stepserve_core.stream`."""

from stepserve_core.stream import *  # noqa: F403
