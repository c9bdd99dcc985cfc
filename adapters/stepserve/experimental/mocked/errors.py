"""Errors of tests."""

from __future__ import annotations


class UnstubbedStepError(Exception):
    """A step that only a server can do was reached, and `step_stubs` does not say what comes of it."""

    def __init__(self, step_id: str) -> None:
        super().__init__(f"step {step_id} is not stubbed")
        self.step_id = step_id
