"""Converters by pydantic, for types that are its own (design.md 5)."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from stepserve_core._converter import Converter, MisfitError
from stepserve_core._serialize import refuse_non_finite
from stepserve_core.errors import OutputUnserializableError


class PydanticConverter:
    """Converts with a pydantic TypeAdapter."""

    def __init__(self, typ: object, adapter: Any, options: dict[str, bool]) -> None:
        self.typ = typ
        self._adapter = adapter
        self._options = options

    def dump(self, value: object, where: str) -> object:
        """Dump by alias, as web frameworks do, and without computed fields, which could not be loaded again."""
        try:
            encoded = self._adapter.dump_json(value, by_alias=True, round_trip=True, warnings=False)
            if any(word in encoded for word in (b"null", b"NaN", b"Infinity")):
                refuse_non_finite(self._adapter.dump_python(value, warnings=False), where)
        except (ValueError, TypeError, RecursionError) as error:
            raise OutputUnserializableError(f"{where} returned something JSON cannot carry: {error}") from None
        return msgspec.Raw(encoded)

    def load(self, memo: object) -> Any:
        """Validate as JSON, whose rules are those that strict models and base64 bytes need."""
        try:
            return self._adapter.validate_json(msgspec.json.encode(memo), **self._options)
        except ValueError as error:
            raise _misfit_of(error) from None


def _misfit_of(error: Any) -> MisfitError:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    first = details[0]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return MisfitError(path.removeprefix("."), first["msg"] + more)


def pydantic_converter(typ: object) -> Converter | None:
    """Return a converter by pydantic; None if there are types inside that only msgspec can read."""
    import pydantic  # noqa: PLC0415 - only programs that use pydantic pay for importing it

    try:
        adapter = pydantic.TypeAdapter(cast("Any", typ))
    except pydantic.errors.PydanticSchemaGenerationError:
        return None
    except pydantic.errors.PydanticUserError as error:
        if error.code != "typed-dict-version":  # it reads those of `typing` on Python 3.12 only; msgspec does on all
            raise
        return None
    # Memos that were dumped without aliases can be read where pydantic can (2.11).
    knows_by_name = tuple(int(part) for part in pydantic.VERSION.split(".")[:2]) >= (2, 11)
    return PydanticConverter(typ, adapter, {"by_alias": True, "by_name": True} if knows_by_name else {})
