"""The name of a route, for frameworks that want an identifier."""

from __future__ import annotations

import re

from stepserve_core import Inngest


def route_name(client: Inngest) -> str:
    """Return the name of the route of an app; apps of other ids get other names."""
    return "stepserve_" + re.sub(r"\W", "_", client.app_id)
