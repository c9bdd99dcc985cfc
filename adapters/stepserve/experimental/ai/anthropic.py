"""Anthropic's models."""

from __future__ import annotations

from stepserve.experimental.ai.base import ProviderAdapter


class Adapter(ProviderAdapter):
    """Reaches a model of Anthropic. For the arguments see `ProviderAdapter`."""

    wire_format = "anthropic"
    default_base_url = "https://api.anthropic.com/v1"
    default_headers = {"anthropic-version": "2023-06-01"}  # noqa: RUF012 - a ClassVar in the base

    def url_infer(self) -> str:
        """Return the URL to post to."""
        return f"{self._base_url}/messages"
