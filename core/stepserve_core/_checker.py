"""Whether calls are checked for replaying the same way, and what is done about a finding (protocol.md 6.7).

`_determinism` makes the findings. It needs the engine, which a client does without until a function is called.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from stepserve_core.errors import ConfigurationError

if TYPE_CHECKING:
    from stepserve_core._client import Inngest

VARIABLE = "STEPSERVE_STRICT"
MOST_NAMES = 10_000
"""Names, and findings that were told, which a process remembers."""


class Checker:
    """The checks of one client: what is done about a finding, which were told already, which steps have which hash."""

    def __init__(self, client: Inngest, *, is_strict: bool, watches_clock: bool, shows_arguments: bool = False) -> None:
        from stepserve_core._given_arguments import GivenArguments  # noqa: PLC0415 - production does without

        self._client = client
        self.is_strict = is_strict
        self.watches_clock = watches_clock
        self.shows_arguments = shows_arguments
        self._told: set[str] = set()
        self._names: dict[str, str] = {}
        self.given = GivenArguments()

    def remember(self, hashed: str, step_id: str) -> None:
        """Remember the name of a step, for a later call that does not reach it."""
        if len(self._names) >= MOST_NAMES:
            self._names.clear()
        self._names[hashed] = step_id

    def name(self, hashed: str) -> str:
        """Return the name of a step; its hash, if this process has not seen it."""
        return repr(self._names[hashed]) if hashed in self._names else f"with the hashed id {hashed}"

    def warn(self, message: str, about: str | None = None) -> None:
        """Tell a finding, once; `about` is what tells it from others, where that is not the message."""
        about = about or message
        if about not in self._told:
            if len(self._told) >= MOST_NAMES:  # step ids may carry those of things, and so be new in each run
                self._told.clear()
            self._told.add(about)
            self._client.logger.warning(message)


def make_checker(client: Inngest, *, is_asked: bool = False) -> Checker | None:
    """Return the checks that the environment asks for; `is_asked`: those of development, in production too.

    Raises:
        ConfigurationError: `STEPSERVE_STRICT` has a value that says nothing.
    """
    text = os.environ.get(VARIABLE, "").strip().lower()
    if text in ("0", "false") or (not text and client.is_production and not is_asked):
        return None
    if text not in ("", "1", "true", "warn"):
        raise ConfigurationError(f"{VARIABLE} must be 1, warn or 0, not {text!r}")
    shows = is_asked or client.step_inputs  # in production they may be of people, and logs are kept
    return Checker(client, is_strict=text in ("1", "true"), watches_clock=bool(text), shows_arguments=shows)
