"""What every converter of values from and to JSON can do, whoever does the work."""

from __future__ import annotations

from typing import Any, Protocol


class MisfitError(Exception):
    """JSON does not fit a type: `path` is where (empty at the top), `problem` what is wrong there."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"at {self.path or 'the top'}: {self.problem}"


class Converter(Protocol):
    """Takes values of one type to what JSON can carry, and back."""

    typ: Any

    def dump(self, value: Any, where: str) -> object:
        """Return what is encoded for `value`; `where` names it in errors.

        Raises:
            OutputUnserializableError: JSON cannot carry it.
        """
        ...

    def load(self, memo: Any) -> Any:
        """Return the value again.

        Raises:
            MisfitError: `memo` does not fit the type.
        """
        ...


def converter_for(typ: object) -> Converter | None:
    """Return the converter of a type; None if its values are what JSON gives back anyway. See `_conversion`."""
    from stepserve_core import _conversion  # noqa: PLC0415 - programs without types pay nothing for making converters

    return _conversion.converter_for(typ)


def strict_converter_for(typ: object) -> Converter:
    """Return the converter of a type that must have one. See `_conversion`."""
    from stepserve_core import _conversion  # noqa: PLC0415

    return _conversion.strict_converter_for(typ)
