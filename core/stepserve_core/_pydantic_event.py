"""Events as fields of pydantic models. Imported when pydantic asks for it."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic_core import core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

    from stepserve_core._event import Event


def event_schema(cls: type[Event[Any]], source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
    """Return how pydantic validates and writes an event: `Event`, or `Event[Order]` with data that it builds too."""
    fields = {
        "name": core_schema.typed_dict_field(core_schema.str_schema(min_length=1)),
        "data": core_schema.typed_dict_field(_data_schema(source, handler), required=False),
        "id": core_schema.typed_dict_field(core_schema.str_schema(), required=False),
        "ts": core_schema.typed_dict_field(core_schema.int_schema(), required=False),
    }
    from_fields = core_schema.no_info_after_validator_function(
        lambda given: cls(**given), core_schema.typed_dict_schema(fields)
    )
    return core_schema.json_or_python_schema(
        json_schema=from_fields,
        python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), from_fields]),
        serialization=core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True),
    )


def _data_schema(source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
    args = typing.get_args(source)
    if not args or isinstance(args[0], TypeVar) or typing.get_origin(args[0]) is Mapping:
        return core_schema.dict_schema(core_schema.str_schema())
    return handler.generate_schema(args[0])


def _dump(event: Event[Any], info: core_schema.SerializationInfo) -> dict[str, Any]:
    return event.model_dump(mode=info.mode)
