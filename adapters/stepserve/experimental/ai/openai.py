"""OpenAI's models."""

from __future__ import annotations

from stepserve.experimental.ai.base import ProviderAdapter


class Adapter(ProviderAdapter):
    """Reaches a model of OpenAI. For the arguments see `ProviderAdapter`."""

    default_base_url = "https://api.openai.com/v1"
