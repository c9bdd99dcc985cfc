"""Remote state: outputs of steps are kept in a store of your own; the server keeps where they are (protocol.md 9.6).

For outputs that are too large for the server, or that must not leave your network.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

import msgspec

from stepserve_core._context import Context
from stepserve_core._memos import Memo
from stepserve_core._middleware import MiddlewareSync, StepMemos
from stepserve_core._opcodes import Opcode
from stepserve_core._serialize import encode_output
from stepserve_core._threads import threads
from stepserve_core._transformed_output import TransformOutputResult
from stepserve_core.errors import StateUnavailableError

if TYPE_CHECKING:
    from stepserve_core._client import Inngest
    from stepserve_core._context import ContextSync
    from stepserve_core._function import Function

CONCURRENT_LOADS = 8
"""Requests that the S3 driver has under way at the same time for one call."""

_LETTERS = string.ascii_letters + string.digits


class StateDriver(Protocol):
    """Where outputs of steps are kept. Methods may block: for `async def` functions they are called in a thread."""

    def load_steps(self, steps: StepMemos) -> None:
        """Replace the data of every memo that stands for something in this store."""
        ...

    def save_step(self, run_id: str, value: object) -> dict[str, object]:
        """Keep the output of a step; return what stands for it, which JSON can carry."""
        ...


class RemoteStateMiddleware(MiddlewareSync):
    """Keeps outputs of steps (`step.run`, `step.send_event`) in a store of your own.

        client = Inngest(app_id="shop", middleware=[RemoteStateMiddleware.factory(S3Driver(bucket="b", client=s3))])

    Nothing is ever deleted: give the bucket a rule that deletes objects when runs are over for sure.
    """

    def __init__(self, client: Inngest, raw_request: object, driver: StateDriver) -> None:
        super().__init__(client, raw_request)
        self._driver = driver
        self._run_id = ""
        self._is_async = False

    @classmethod
    def factory(cls, driver: StateDriver) -> Callable[[Inngest, Any], RemoteStateMiddleware]:
        """Return what `Inngest(middleware=[…])` takes."""
        return lambda client, raw_request: cls(client, raw_request, driver)

    def transform_input(
        self, ctx: Context | ContextSync, function: Function[Any], steps: StepMemos
    ) -> Awaitable[None] | None:
        """Load what the memos stand for."""
        del function
        self._run_id, self._is_async = ctx.run_id, isinstance(ctx, Context)
        if steps.size == 0:
            return None
        if self._is_async:
            return threads.run(lambda: self._driver.load_steps(steps))
        self._driver.load_steps(steps)
        return None

    def transform_output(self, result: TransformOutputResult) -> Awaitable[None] | None:
        """Save the output of a step that was executed."""
        executed = result.step is not None and result.step.op is Opcode.STEP_RUN
        if not executed or result.error is not None or not result.has_output():
            return None
        if self._is_async:
            return threads.run(lambda: self._save(result))
        self._save(result)
        return None

    def _save(self, result: TransformOutputResult) -> None:
        result.output = self._driver.save_step(self._run_id, result.output)


class _Surrogates:
    """What stands for an output: says that it does, and in which kind of store the output is."""

    _marker: ClassVar[str] = "__REMOTE_STATE__"
    _strategy_marker: ClassVar[str] = "__STRATEGY__"
    _strategy_identifier: ClassVar[str]

    def _surrogate(self, **fields: str) -> dict[str, object]:
        return {self._marker: True, self._strategy_marker: self._strategy_identifier, **fields}

    def _find(self, steps: StepMemos, *needed: str) -> list[tuple[Memo, tuple[str, ...]]]:
        """Return the memos that stand for something in this kind of store, with the fields that say where it is."""
        found: list[tuple[Memo, tuple[str, ...]]] = []
        for memo in steps.values():
            if not isinstance(memo.data, dict):
                continue
            fields = cast("dict[str, object]", memo.data)
            if fields.get(self._marker) is True and fields.get(self._strategy_marker) == self._strategy_identifier:
                found.append((memo, tuple(self._field(fields, name) for name in needed)))
        return found

    def _field(self, fields: dict[str, object], name: str) -> str:
        value = fields.get(name)
        if not isinstance(value, str):
            raise StateUnavailableError(f"what stands for the output of a step lacks its {name}: {fields!r}")
        return value

    def _create_key(self) -> str:
        return "".join(secrets.choice(_LETTERS) for _ in range(32))


class InMemoryDriver(_Surrogates):
    """Keeps outputs in the memory of this process, as JSON; for tests."""

    _strategy_identifier = "inngest/memory"

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}

    def load_steps(self, steps: StepMemos) -> None:
        """Replace the data of every memo that stands for something in this store.

        Raises:
            StateUnavailableError: something is not in this store; another process has it.
        """
        for memo, (key,) in self._find(steps, "key"):
            if key not in self._data:
                raise StateUnavailableError(f"the output {key!r} of a step is not in the memory of this process")
            memo.data = msgspec.json.decode(self._data[key])

    def save_step(self, run_id: str, value: object) -> dict[str, object]:
        """Keep the output of a step."""
        del run_id
        key = self._create_key()
        self._data[key] = encode_output(value, "a step")
        return self._surrogate(key=key)


class S3Driver(_Surrogates):
    """Keeps outputs in a bucket of S3, or of a store that speaks its protocol.

    Args:
        bucket: where new outputs go; those that are loaded may be in others.
        client: `boto3.client("s3")`, or anything with its `put_object` and `get_object`. It must be safe to use from
            several threads, as boto3's clients are.
    """

    _strategy_identifier = "inngest/s3"

    def __init__(self, *, bucket: str, client: Any) -> None:
        self._bucket = bucket
        self._client = client

    def load_steps(self, steps: StepMemos) -> None:
        """Replace the data of every memo that stands for something in S3; several at a time."""
        found = self._find(steps, "bucket", "key")
        if len(found) < 2:
            values = [self._get(*place) for _, place in found]
        else:
            from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - costly, and needed here only

            with ThreadPoolExecutor(CONCURRENT_LOADS, thread_name_prefix="stepserve-s3") as pool:
                values = list(pool.map(lambda one: self._get(*one[1]), found))
        for (memo, _), value in zip(found, values, strict=True):
            memo.data = value

    def _get(self, bucket: str, key: str) -> object:
        return msgspec.json.decode(self._client.get_object(Bucket=bucket, Key=key)["Body"].read())

    def save_step(self, run_id: str, value: object) -> dict[str, object]:
        """Put the output of a step into the bucket."""
        key = f"inngest/remote_state/{run_id}/{self._create_key()}"
        self._client.put_object(Body=encode_output(value, "a step"), Bucket=self._bucket, Key=key)
        return self._surrogate(bucket=self._bucket, key=key)
