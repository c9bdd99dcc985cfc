"""Protocol buffers from annotated structs: the codec is Google's library, the schema is what the fields say.

    class Start(Message, frozen=True):
        connection_id: Annotated[str, 1] = ""          # the number is the one of the wire
        step_id: Annotated[str | None, 6] = None       # an optional field: None is not sent

Descriptors live in a pool of our own, so that the official package may register the same names in the same process.
The library is imported when the first message is encoded or decoded.
"""

from __future__ import annotations

import functools
import types
import typing
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec

MessageT = TypeVar("MessageT", bound="Message")

_PACKAGE = "connect.v1"
_WIRE_TYPES = {str: 9, bytes: 12, int: 3, bool: 8}
"""Types of fields as descriptors number them. Every integer is an int64; int32, uint32 and enums look no different."""

_WIRE_MESSAGE = 11
_OPTIONAL, _REPEATED = 1, 3


class MessageInvalidError(ValueError):
    """Bytes that are not the message they should be."""


class Message(msgspec.Struct, frozen=True):
    """Base of messages. Every field has a default, the one of proto3."""

    def encode(self) -> bytes:
        """Return the message as it goes over the wire."""
        encoded: bytes = _codec(type(self))(**_plain(self)).SerializeToString()
        return encoded

    @classmethod
    def decode(cls: type[MessageT], content: bytes) -> MessageT:
        """Return what `content` says; unknown fields are ignored.

        Raises:
            MessageInvalidError: it is not such a message.
        """
        from google.protobuf.message import DecodeError  # noqa: PLC0415 - see above

        try:
            return _read(cls, _codec(cls).FromString(content))
        except (DecodeError, UnicodeDecodeError) as error:
            raise MessageInvalidError(f"the bytes are no {cls.__name__}: {error}") from None


class _Field(typing.NamedTuple):
    name: str
    number: int
    type: Any
    is_optional: bool
    is_repeated: bool

    @property
    def is_message(self) -> bool:
        return issubclass(self.type, Message)


@functools.cache
def _fields(message: type[Message]) -> tuple[_Field, ...]:
    fields: list[_Field] = []
    for name, annotation in typing.get_type_hints(message, include_extras=True).items():
        inner, number = get_args(annotation)
        is_optional = get_origin(inner) in (Union, types.UnionType)
        is_repeated = get_origin(inner) is list
        fields.append(
            _Field(name, number, get_args(inner)[0] if is_optional or is_repeated else inner, is_optional, is_repeated)
        )
    return tuple(fields)


def _plain(message: Message) -> dict[str, Any]:
    """Return the fields as the library takes them: dicts for messages, nothing for None."""
    plain: dict[str, Any] = {}
    for field in _fields(type(message)):
        value = getattr(message, field.name)
        if value is None:
            continue
        if field.is_message:
            value = [_plain(one) for one in value] if field.is_repeated else _plain(value)
        plain[field.name] = value
    return plain


def _read(message: type[MessageT], source: Any) -> MessageT:
    values: dict[str, Any] = {}
    for field in _fields(message):
        if field.is_optional and not source.HasField(field.name):
            continue
        value = getattr(source, field.name)
        if field.is_repeated:
            value = [_read(field.type, one) if field.is_message else one for one in value]
        elif field.is_message:
            value = _read(field.type, value)
        values[field.name] = value
    return message(**values)


@functools.cache
def _codec(message: type[Message]) -> Any:
    """Return the library's class for a message."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: PLC0415 - see above

    file = descriptor_pb2.FileDescriptorProto(name=f"{message.__name__}.proto", package=_PACKAGE, syntax="proto3")
    for needed in _needed(message):
        _describe(needed, file.message_type.add(name=needed.__name__))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{message.__name__}"))


def _needed(message: type[Message]) -> list[type[Message]]:
    """Return a message and those that its fields hold."""
    inner = [needed for field in _fields(message) if field.is_message for needed in _needed(field.type)]
    return list(dict.fromkeys([message, *inner]))


def _describe(message: type[Message], descriptor: Any) -> None:
    for field in _fields(message):
        added = descriptor.field.add(
            name=field.name, number=field.number, label=_REPEATED if field.is_repeated else _OPTIONAL
        )
        if field.is_message:
            added.type, added.type_name = _WIRE_MESSAGE, f".{_PACKAGE}.{field.type.__name__}"
        else:
            added.type = _WIRE_TYPES[field.type]
        if field.is_optional:  # presence in proto3 is a "oneof" of one
            added.proto3_optional, added.oneof_index = True, len(descriptor.oneof_decl)
            descriptor.oneof_decl.add(name=f"_{field.name}")
