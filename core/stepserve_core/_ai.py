"""`step.ai`: models that the server calls."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from stepserve_core._found import Ask


class AIAdapter(Protocol):
    """Where and how the server reaches a model for `step.ai.infer`."""

    def auth_key(self) -> str:
        """Return the provider's key."""
        ...

    def format(self) -> str:
        """Return the provider's format, such as "openai-chat"."""
        ...

    def headers(self) -> dict[str, str]:
        """Return headers to add."""
        ...

    def on_call(self, body: dict[str, Any]) -> None:
        """Complete the body, for example with the model's name."""
        ...

    def url_infer(self) -> str:
        """Return the URL to post to."""
        ...


class AISync:
    """`step.ai` of a `def` function."""

    def __init__(self, reach: Callable[..., Any], ask: Callable[[AIAdapter, dict[str, Any]], Ask]) -> None:
        self._reach = reach
        self._ask = ask

    def infer(self, step_id: str, *, adapter: AIAdapter, body: dict[str, Any]) -> dict[str, object]:
        """Let the server call a model; the app is not busy meanwhile. Return the provider's answer."""
        return self._reach(step_id, None, self._ask, adapter, body)  # type: ignore[no-any-return]


class AI:
    """`step.ai` of an `async def` function."""

    def __init__(self, reach: Callable[..., Any], ask: Callable[[AIAdapter, dict[str, Any]], Ask]) -> None:
        self._reach = reach
        self._ask = ask

    def infer(
        self, step_id: str, *, adapter: AIAdapter, body: dict[str, Any]
    ) -> Coroutine[Any, Any, dict[str, object]]:
        """Let the server call a model; the app is not busy meanwhile. Return the provider's answer."""
        return self._reach(step_id, None, self._ask, adapter, body)  # type: ignore[no-any-return]
