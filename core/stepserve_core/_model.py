"""What all values of the public interface can do: become JSON, and be made of it (protocol.md 10.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import StructMeta

from stepserve_core._serialize import encode_wire
from stepserve_core.errors import Error

ModelT = TypeVar("ModelT", bound="Model")


class _RefusesInOurWords(StructMeta):
    """Says which field is missing with the error that a wrong field has too, as the official SDK does."""

    if not TYPE_CHECKING:  # type checkers read the signature of the fields

        def __call__(cls, *args: object, **fields: object) -> object:  # noqa: N805 - of a metaclass
            try:
                return super().__call__(*args, **fields)
            except TypeError:
                missing = () if args else _missing(cls, fields)
                if not missing:
                    raise
            raise cls.complaint(f"{missing[0]}: Field required")


class Model(msgspec.Struct, kw_only=True, metaclass=_RefusesInOurWords):
    """Base of events, options and results.

    They are no pydantic models, but the methods that programs call on these are here under the same names.
    """

    @classmethod
    def from_raw(cls: type[ModelT], raw: object) -> ModelT | Exception:
        """Make one of a mapping or of JSON text; keys that it does not know are ignored.

        What is wrong is returned, not raised, as in the official SDK; `model_validate` raises.
        """
        try:
            return cls.model_validate(raw)
        except Error as error:
            return error

    def to_dict(self) -> dict[str, Any] | Exception:
        """Return the JSON form. An error, such as a duration that has none, is returned, not raised."""
        try:
            return self.wire()
        except Error as error:
            return error

    def wire(self) -> dict[str, Any]:
        """Return the JSON form; None stands for an absent field."""
        return msgspec.structs.asdict(self)

    @classmethod
    def model_validate(cls: type[ModelT], raw: object) -> ModelT:
        """Make one of a mapping, or of JSON text.

        Raises:
            Error: fields are missing or have the wrong type; the class of the error is that of the constructor.
        """
        try:
            value = msgspec.json.decode(raw) if isinstance(raw, (str, bytes)) else raw
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise cls.complaint(f"invalid JSON: {error}") from None
        if not isinstance(value, Mapping):
            raise cls.complaint("Input should be a valid dictionary")
        return cls(**{name: value[name] for name in cls.__struct_fields__ if name in value})

    @classmethod
    def complaint(cls, text: str) -> Error:
        """Return the error for a value of which none can be made."""
        return Error(f"{cls.__name__}: {text}")

    def model_dump(self, *, mode: str = "python") -> dict[str, Any]:
        """Return the fields by name; with mode "json", as JSON has them."""
        fields = msgspec.structs.asdict(self)
        return msgspec.json.decode(encode_wire(fields)) if mode == "json" else fields

    def model_dump_json(self) -> str:
        """Return the fields by name, as JSON text."""
        return encode_wire(msgspec.structs.asdict(self)).decode()

    def model_copy(self: ModelT, *, update: Mapping[str, Any] | None = None) -> ModelT:
        """Return a copy with some fields changed."""
        return msgspec.structs.replace(self, **(update or {}))


def _missing(cls: type[Model], given: Mapping[str, object]) -> list[str]:
    return [
        name
        for name, default in zip(cls.__struct_fields__, _defaults(cls), strict=True)
        if default is msgspec.NODEFAULT and name not in given
    ]


def _defaults(cls: type[Model]) -> tuple[Any, ...]:
    # Defaults are listed for the last fields only; keyword-only ones without default carry NODEFAULT.
    defaults = cls.__struct_defaults__
    return (msgspec.NODEFAULT,) * (len(cls.__struct_fields__) - len(defaults)) + defaults
