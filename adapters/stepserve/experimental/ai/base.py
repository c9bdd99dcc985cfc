"""What the adapters of all providers share (protocol.md 10.10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from stepserve_core.ai import AIAdapter as BaseAdapter

__all__ = ["BaseAdapter", "ProviderAdapter"]


class ProviderAdapter(BaseAdapter):
    """Reaches one model of a provider.

    Args:
        auth_key: the provider's key; the server sends it on.
        base_url: another origin and path prefix, such as that of a proxy.
        headers: sent instead of the provider's default headers.
        model: the model's name, put into each body that names none.
    """

    wire_format: ClassVar[str] = "openai-chat"
    default_base_url: ClassVar[str]
    default_headers: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        *,
        auth_key: str,
        base_url: str | None = None,
        headers: dict[str, str] | None = None,
        model: str,
    ) -> None:
        self._auth_key = auth_key
        self._base_url = (base_url or self.default_base_url).rstrip("/")
        self._headers = headers or dict(self.default_headers)
        self._model = model

    def auth_key(self) -> str:
        """Return the provider's key."""
        return self._auth_key

    def format(self) -> str:
        """Return the format of the provider's bodies."""
        return self.wire_format

    def headers(self) -> dict[str, str]:
        """Return the headers to add."""
        return self._headers

    def on_call(self, body: dict[str, Any]) -> None:
        """Name the model in `body`, unless it names one."""
        body["model"] = body.get("model") or self._model

    def url_infer(self) -> str:
        """Return the URL to post to."""
        return f"{self._base_url}/chat/completions"
