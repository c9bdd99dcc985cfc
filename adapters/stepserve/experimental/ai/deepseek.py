"""DeepSeek's models."""

from __future__ import annotations

from stepserve.experimental.ai.base import ProviderAdapter


class Adapter(ProviderAdapter):
    """Reaches a model of DeepSeek. For the arguments see `ProviderAdapter`."""

    default_base_url = "https://api.deepseek.com/v1"
