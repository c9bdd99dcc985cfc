"""What an app registers: the body of `POST /fn/register`, read and checked (executor.md 1.8 and 1.9). No I/O."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from stepserve_core.executor.function_config import FunctionConfig
from stepserve_core.executor.function_rules import find_problems


class RegistrationInvalidError(ValueError):
    """A registration that cannot be accepted; `problems` holds every message."""

    def __init__(self, message: str, problems: list[str] | None = None) -> None:
        super().__init__(message)
        self.problems = problems or []


class Registration(msgspec.Struct, frozen=True):
    """An app and its functions. `checksum` changes when anything of it changes."""

    app_name: str
    url: str
    sdk: str
    framework: str
    functions: list[FunctionConfig]
    checksum: str
    app_version: str | None = None


def read_registration(body: bytes) -> Registration:
    """Read a registration. Keys of the top level match whatever their case, as upstream's do.

    Raises:
        RegistrationInvalidError: it cannot be used; `problems` names each function and field.
    """
    fields = _read_object(body)
    app_name = fields.get("appname")
    if not isinstance(app_name, str) or not app_name:
        raise RegistrationInvalidError("App ID required")
    raws = fields.get("functions")
    if raws is None:
        raws = []
    if not isinstance(raws, list):
        raise RegistrationInvalidError("functions must be a list")
    functions: list[FunctionConfig] = []
    problems: list[str] = []
    for index, raw in enumerate(raws):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - JSON
        config = _read_function(raw, index, problems)
        if config is not None:
            functions.append(config)
    problems += _find_duplicates(functions)
    if problems:
        raise RegistrationInvalidError("At least one function is invalid", problems)
    return Registration(
        app_name=app_name,
        url=_text(fields, "url"),
        sdk=_text(fields, "sdk"),
        framework=_text(fields, "framework"),
        functions=functions,
        checksum=_checksum(fields),
        app_version=_text(fields, "appversion") or None,
    )


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(body, type=dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise RegistrationInvalidError(f"the registration is not a JSON object: {error}") from None
    return {key.lower(): value for key, value in decoded.items()}


def _text(fields: dict[str, Any], key: str) -> str:
    value = fields.get(key)
    return value if isinstance(value, str) else ""


def _checksum(fields: dict[str, Any]) -> str:
    known = {key: value for key, value in fields.items() if key not in ("featureobservations", "idempotencykey")}
    return hashlib.sha256(msgspec.json.encode(known, order="sorted")).hexdigest()


def _find_duplicates(functions: list[FunctionConfig]) -> list[str]:
    seen: set[str] = set()
    duplicates: list[str] = []
    for function in functions:
        if function.id in seen:
            duplicates.append(f"function {function.id!r}: the id is used twice")
        seen.add(function.id)
    return duplicates


def _read_function(raw: object, index: int, problems: list[str]) -> FunctionConfig | None:
    """Convert field by field, so that one wrong field does not hide the others."""
    if not isinstance(raw, dict):
        problems.append(f"function {index}: must be an object")
        return None
    given: dict[str, Any] = {key: value for key, value in raw.items() if value is not None}  # pyright: ignore[reportUnknownVariableType] - JSON
    label = f"function {given.get('id', index)!r}"
    _split_concurrency(given)
    values: dict[str, Any] = {}
    broken = False
    for field in msgspec.structs.fields(FunctionConfig):
        if field.encode_name in given:
            try:
                values[field.name] = msgspec.convert(given[field.encode_name], field.type)
            except msgspec.ValidationError as error:
                problems.append(f"{label}: {field.encode_name}: {error}")
                broken = True
        elif field.required:
            problems.append(f"{label}: {field.encode_name} is missing")
            broken = True
    if broken:
        return None
    config = FunctionConfig(**values)
    problems += [f"{label}: {problem}" for problem in find_problems(config)]
    return config


def _split_concurrency(given: dict[str, Any]) -> None:
    """Bring the four forms of `concurrency` (1.9) into two lists: limits of calls, and of whole runs."""
    value = given.get("concurrency")
    if isinstance(value, int) and not isinstance(value, bool):
        given["concurrency"] = [{"limit": value}] if value else []
    elif isinstance(value, dict) and ("fn" in value or "step" in value):
        given["concurrency"] = value.get("step") or []  # pyright: ignore[reportUnknownMemberType] - JSON
        given["runConcurrency"] = value.get("fn") or []  # pyright: ignore[reportUnknownMemberType] - JSON
    elif isinstance(value, dict):
        given["concurrency"] = [value]
