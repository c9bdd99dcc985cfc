"""Adapters for models (protocol.md 10.10). Their like in the official package: tests/peers."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from stepserve.experimental import ai

CHAT = "/chat/completions"
VERSION = {"anthropic-version": "2023-06-01"}
GOOGLE = "https://generativelanguage.googleapis.com/v1beta"


def adapter(provider: str, **options: Any) -> ai.BaseAdapter:
    """Return an adapter of a provider."""
    module = importlib.import_module(f"stepserve.experimental.ai.{provider}")
    made: ai.BaseAdapter = module.Adapter(auth_key="key", model="big", **options)
    return made


@pytest.mark.parametrize(
    ("provider", "form", "url", "headers"),
    [
        ("openai", "openai-chat", f"https://api.openai.com/v1{CHAT}", {}),
        ("anthropic", "anthropic", "https://api.anthropic.com/v1/messages", VERSION),
        ("gemini", "gemini", f"{GOOGLE}/models/big:generateContent?key=key", {}),
        ("grok", "openai-chat", f"https://api.x.ai/v1{CHAT}", {}),
        ("deepseek", "openai-chat", f"https://api.deepseek.com/v1{CHAT}", {}),
    ],
)
def test_where_and_how_a_provider_is_reached(provider: str, form: str, url: str, headers: dict[str, str]) -> None:
    made = adapter(provider)

    assert (form, url, headers, "key") == (made.format(), made.url_infer(), made.headers(), made.auth_key())


def test_another_place_and_other_headers_take_the_place_of_the_defaults() -> None:
    made = adapter("anthropic", base_url="http://proxy/v2/", headers={"a": "b"})

    assert ("http://proxy/v2/messages", {"a": "b"}) == (made.url_infer(), made.headers())


@pytest.mark.parametrize(("body", "model"), [({}, "big"), ({"model": ""}, "big"), ({"model": "small"}, "small")])
def test_the_model_is_named_in_a_body_that_names_none(body: dict[str, Any], model: str) -> None:
    adapter("openai").on_call(body)

    assert {"model": model} == body
