"""Realtime: typed messages from functions to whoever has subscribed; see `stepserve_core.realtime`."""

from stepserve_core.realtime import *  # noqa: F403
