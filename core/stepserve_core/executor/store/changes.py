"""What transactions touched, for those who look on. Hints: something may be named that was rolled back after all."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass
class Changes:
    """Runs by id, and whether events, or apps and their functions, changed."""

    runs: set[str] = dataclasses.field(default_factory=set[str])
    events: bool = False
    apps: bool = False

    def __bool__(self) -> bool:
        return bool(self.runs) or self.events or self.apps

    def add(self, other: Changes) -> None:
        """Add what others touched."""
        self.runs |= other.runs
        self.events = self.events or other.events
        self.apps = self.apps or other.apps

    def take(self) -> Changes:
        """Return what was noted since the last time, and begin anew."""
        taken = Changes(self.runs, self.events, self.apps)
        self.runs, self.events, self.apps = set(), False, False
        return taken
