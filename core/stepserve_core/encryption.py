"""Encryption of outputs and of parts of events: the server stores them, but cannot read them (protocol.md 9.5).

Compatible with the package `inngest_encryption` and with the middleware of the JavaScript SDK. Needs PyNaCl:
`python -m pip install 'stepserve[encryption]'`.
"""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec

from stepserve_core._event import Event
from stepserve_core._middleware import MiddlewareSync, StepMemos
from stepserve_core._opcodes import Opcode
from stepserve_core._serialize import encode_output
from stepserve_core._transformed_output import TransformOutputResult, TransformOutputStepInfo
from stepserve_core.errors import ConfigurationError, DecryptionError

if TYPE_CHECKING:
    from stepserve_core._client import Inngest
    from stepserve_core._context import Context, ContextSync
    from stepserve_core._function import Function

Key = bytes | str

MARKER = "__ENCRYPTED__"
STRATEGY_MARKER = "__STRATEGY__"
STRATEGY = "inngest/libsodium"


class EncryptionMiddleware(MiddlewareSync):
    """Encrypts outputs of steps and functions, and one field of the data of events and invocations.

        client = Inngest(app_id="shop", middleware=[EncryptionMiddleware.factory(os.environ["SECRET"])])

    What is readable for the server all the same: names, ids, errors, the other fields of the data, and what it has to
    act upon or to show: requests and replies of `step.fetch` and `step.ai.infer`, the data of signals, realtime
    messages, metadata and scores. Functions of both colours see everything decrypted.

    Args:
        secret_key: text of any kind, or the 64 hexadecimal digits of a 32-byte key as bytes.
        decrypt_only: encrypt nothing: the first step of bringing in, or of leaving, encryption.
        event_encryption_field: the field of the data that is encrypted in events that are sent and in invocations.
        fallback_decryption_keys: keys that are tried too when something is decrypted, for a change of keys.

    Raises:
        ConfigurationError: a key cannot be used, or PyNaCl is not installed.
        DecryptionError: something was encrypted with another key. Raised by calls.
    """

    def __init__(
        self,
        client: Inngest,
        raw_request: object,
        secret_key: Key,
        *,
        decrypt_only: bool = False,
        event_encryption_field: str = "encrypted",
        fallback_decryption_keys: Sequence[Key] | None = None,
    ) -> None:
        super().__init__(client, raw_request)
        self._boxes = [_box(key) for key in (secret_key, *(fallback_decryption_keys or ()))]
        self._decrypt_only = decrypt_only
        self._field = event_encryption_field

    @classmethod
    def factory(
        cls,
        secret_key: Key,
        *,
        decrypt_only: bool = False,
        event_encryption_field: str = "encrypted",
        fallback_decryption_keys: Sequence[Key] | None = None,
    ) -> Callable[[Inngest, Any], EncryptionMiddleware]:
        """Return what `Inngest(middleware=[…])` takes. For arguments and errors see the class."""
        for key in (secret_key, *(fallback_decryption_keys or ())):
            _box(key)  # a key that cannot be used is refused while the program starts

        def make(client: Inngest, raw_request: object) -> EncryptionMiddleware:
            return cls(
                client,
                raw_request,
                secret_key,
                decrypt_only=decrypt_only,
                event_encryption_field=event_encryption_field,
                fallback_decryption_keys=fallback_decryption_keys,
            )

        return make

    def transform_input(self, ctx: Context | ContextSync, function: Function[Any], steps: StepMemos) -> None:
        """Decrypt events and memos."""
        del function
        for event in _distinct([ctx.event, *ctx.events]):
            event.data = self._decrypt_event(event.name, event.data)
        for memo in steps.values():
            memo.data = self._decrypt_memo(memo.data)
            memo.args = memo.args and [self._decrypt(argument) for argument in memo.args]

    def _decrypt_memo(self, data: object) -> object:
        decrypted = self._decrypt(data)
        # Outputs are encrypted as a whole; what has a name and data here is an event that a step waited for.
        if isinstance(decrypted, dict) and isinstance(decrypted.get("name"), str) and "ts" in decrypted:
            inner = decrypted.get("data")
            if isinstance(inner, dict) and decrypted is data:
                return {**decrypted, "data": self._decrypt_event(decrypted["name"], inner)}
        return decrypted

    def _decrypt_event(self, name: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the data of an event decrypted, and that of the event inside it which started a run that has ended."""
        data = self._decrypt_data(data)
        original = data.get("event") if name.startswith("inngest/function.") and isinstance(data, Mapping) else None
        if not isinstance(original, dict) or not isinstance(original.get("data"), dict):
            return data
        return {**data, "event": {**original, "data": self._decrypt_data(original["data"])}}

    def _decrypt_data(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the data of an event decrypted: all of it, else its first field that is encrypted."""
        if _is_envelope(data):
            decrypted = self._decrypt(data)
            if not isinstance(decrypted, dict):
                raise DecryptionError("the decrypted data of an event is not an object")
            others = {name: value for name, value in data.items() if name not in (MARKER, STRATEGY_MARKER, "data")}
            return {**others, **decrypted}
        if not isinstance(data, Mapping):
            return data
        encrypted = [name for name in (self._field, *data) if _is_envelope(data.get(name))]
        if not encrypted:
            return data
        return {**data, encrypted[0]: self._decrypt(data[encrypted[0]])}

    def before_send_events(self, events: list[Event]) -> None:
        """Encrypt the field of each event."""
        for index, event in enumerate(events):
            data = self._encrypt_field(event.data)
            if data is not event.data:
                events[index] = copy.copy(event)  # the caller's event stays as it is
                events[index].data = data

    def before_report(self, steps: list[TransformOutputStepInfo]) -> None:
        """Encrypt the field of what other functions are invoked with or deferred with, and the arguments of steps."""
        for step in steps:
            opts = step.opts or {}
            payload, given = opts.get("payload"), opts.get("input")
            if isinstance(given, msgspec.Raw):
                given = msgspec.json.decode(given)
            if step.op is Opcode.INVOKE and isinstance(payload, dict):
                opts["payload"] = {**payload, "data": self._encrypt_field(payload.get("data"))}
            elif step.op is Opcode.DEFER_ADD:
                opts["input"] = self._encrypt_field(given)
            elif isinstance(given, (list, tuple)) and not self._decrypt_only:
                opts["input"] = [self._encrypt(value, f"an argument of step {step.id!r}") for value in given]

    def _encrypt_field(self, data: Any) -> Any:
        if self._decrypt_only or not isinstance(data, Mapping) or self._field not in data:
            return data
        return {**data, self._field: self._encrypt(data[self._field], f"field {self._field!r}")}

    def transform_output(self, result: TransformOutputResult) -> None:
        """Encrypt the output of a function, or of a step that was executed."""
        executed = result.step is None or result.step.op is Opcode.STEP_RUN
        if executed and result.error is None and result.has_output() and not self._decrypt_only:
            where = "a function" if result.step is None else f"step {result.step.id!r}"
            result.output = self._encrypt(result.output, where)

    def _encrypt(self, value: object, where: str) -> object:
        if _is_envelope(value):
            self.client.logger.warning("%s is encrypted already; it is left as it is", where)
            return value
        encrypted = bytes(self._boxes[0].encrypt(encode_output(value, where)))
        return {MARKER: True, STRATEGY_MARKER: STRATEGY, "data": base64.b64encode(encrypted).decode()}

    def _decrypt(self, value: Any) -> Any:
        if not _is_envelope(value):
            return value
        from nacl.exceptions import CryptoError  # noqa: PLC0415 - optional; the boxes exist, so it is installed

        for box in self._boxes:
            try:
                return msgspec.json.decode(box.decrypt(base64.b64decode(value["data"])))
            except (CryptoError, binascii.Error, ValueError):
                continue
        raise DecryptionError("Failed to decrypt data: it was encrypted with none of the keys that are configured here")


def _is_envelope(value: object) -> bool:
    """Say whether `value` was encrypted in the way that we know; what others encrypted is left alone."""
    if not isinstance(value, dict):
        return False
    fields = cast("dict[str, object]", value)
    known = fields.get(MARKER) is True and fields.get(STRATEGY_MARKER) == STRATEGY
    return known and isinstance(fields.get("data"), str)


def _distinct(events: Iterable[Event]) -> Iterable[Event]:
    """Yield each object once: of a single event, `ctx.event` and `ctx.events` hold the same one."""
    return {id(event): event for event in events}.values()


def _box(key: Key) -> Any:
    try:
        from nacl.secret import SecretBox  # noqa: PLC0415 - optional
    except ImportError:
        raise ConfigurationError(
            "EncryptionMiddleware needs PyNaCl: python -m pip install 'stepserve[encryption]'"
        ) from None
    if not key:
        raise ConfigurationError("EncryptionMiddleware: the secret key is empty")
    if isinstance(key, str):
        return SecretBox(hashlib.blake2b(key.encode(), digest_size=32).digest())
    try:
        return SecretBox(binascii.unhexlify(key))
    except (ValueError, TypeError):
        raise ConfigurationError(
            "EncryptionMiddleware: a key given as bytes must be the 64 hexadecimal digits of a 32-byte key;"
            " give any other key as text"
        ) from None
