"""Adapters for `step.ai.infer`. Import the module of your provider: `from stepserve.experimental.ai import openai`."""

from stepserve.experimental.ai import anthropic, openai
from stepserve.experimental.ai.base import BaseAdapter

__all__ = ["BaseAdapter", "anthropic", "openai"]
