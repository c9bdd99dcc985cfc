"""What `step.ai.infer` needs to know of a provider of models (protocol.md 10.10)."""

from __future__ import annotations

from typing import Any, Protocol


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
