"""What may still change: names that the official package has under `experimental`.

Its parts (`ai`, `mocked`, `realtime`, `dev_server`, …) are loaded when they are imported.
"""

from stepserve_core.step_context import get_step_context, set_step_context, step

__all__ = ["get_step_context", "set_step_context", "step"]
