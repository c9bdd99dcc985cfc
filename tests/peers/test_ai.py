"""Adapters for models say the same in both packages."""

from __future__ import annotations

import importlib
from typing import Any

import pytest


@pytest.mark.parametrize("provider", ["anthropic", "deepseek", "gemini", "grok", "openai"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"base_url": "https://proxy.test/v2"},
        {"base_url": "https://proxy.test/v2//"},
        {"base_url": ""},
        {"headers": {}},
        {"headers": {"a": "b"}},
    ],
)
def test_an_adapter_says_the_same(provider: str, options: dict[str, Any]) -> None:
    said: list[Any] = []
    for package in ("inngest", "stepserve"):
        module = importlib.import_module(f"{package}.experimental.ai.{provider}")
        adapter = module.Adapter(auth_key="k y", model="m/o", **options)
        bodies: list[dict[str, Any]] = [{}, {"model": ""}, {"model": "other", "n": 1}]
        for body in bodies:
            adapter.on_call(body)
        said.append([adapter.format(), adapter.url_infer(), adapter.headers(), adapter.auth_key(), bodies])

    official, ours = said
    assert official == ours
