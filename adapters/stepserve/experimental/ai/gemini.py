"""Google's Gemini models."""

from __future__ import annotations

from stepserve.experimental.ai.base import ProviderAdapter


class Adapter(ProviderAdapter):
    """Reaches a model of Google. For the arguments see `ProviderAdapter`."""

    wire_format = "gemini"
    default_base_url = "https://generativelanguage.googleapis.com/v1beta"

    def url_infer(self) -> str:
        """Return the URL to post to, which carries the key."""
        return f"{self._base_url}/models/{self._model}:generateContent?key={self._auth_key}"
