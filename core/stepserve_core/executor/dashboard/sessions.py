"""Sessions of people who have logged in: cookies that this server signed, and a bound on guesses. No I/O."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import deque
from collections.abc import Sequence

COOKIE = "stepserve_session"
LIFE = 12 * 3600
"""Seconds after which one logs in again."""

_WINDOW = 60.0
_GUESSES = 10
_GUESSES_OF_ALL = 100
"""Wrong secrets within a minute: from one address, and from all of them."""


class Sessions:
    """Issues and checks the values of session cookies.

    They are not stored: a signature over the moment when they end makes them ours, so they survive a restart. Its key
    comes from everything that lets somebody in; whoever changes one of these ends all sessions.
    """

    def __init__(self, signing_keys: Sequence[str], token: str | None) -> None:
        parts = "\n".join(("dashboard", *signing_keys, token or ""))
        self._secret = hashlib.sha256(parts.encode()).digest()

    def issue(self, now: float) -> str:
        """Return the value of a new cookie."""
        text = f"{int(now) + LIFE}.{secrets.token_urlsafe(12)}"
        return f"{text}.{self._sign(text)}"

    def is_valid(self, cookie: str, now: float) -> bool:
        """Say whether a cookie is ours and its time is not over."""
        text, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(self._sign(text).encode(), signature.encode()):
            return False
        return int(text.partition(".")[0]) > now

    def _sign(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


class Guesses:
    """Counts wrong secrets, by address."""

    def __init__(self) -> None:
        self._wrong: deque[tuple[float, str]] = deque()

    def wait(self, address: str, now: float) -> int:
        """Return for how many seconds an address may not try; 0 where it may."""
        while self._wrong and self._wrong[0][0] <= now - _WINDOW:
            self._wrong.popleft()
        own = [moment for moment, other in self._wrong if other == address]
        if len(own) >= _GUESSES:
            return max(1, round(own[0] + _WINDOW - now))
        if len(self._wrong) >= _GUESSES_OF_ALL:
            return max(1, round(self._wrong[0][0] + _WINDOW - now))
        return 0

    def note(self, address: str, now: float) -> None:
        """Count a wrong secret."""
        self._wrong.append((now, address))
