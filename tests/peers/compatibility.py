"""Writes docs/compatibility.md: every public name of the official package beside ours.

`python -m tests.peers.compatibility` writes it anew; a test fails when it is out of date, or when something differs
without a reason in `REASONS`.
"""

from __future__ import annotations

import enum
import importlib.util
import inspect
import logging
import pathlib
import pkgutil
from typing import Any, NamedTuple

from stepserve_core._aliases import counterpart
from tests.peers.surface import Shape, find, load, members

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs/compatibility.md"

ADAPTER = ("serve", "FRAMEWORK")

MODULES: dict[str, tuple[str, ...]] = {
    "": (),
    ".flask": ADAPTER,
    ".fast_api": ADAPTER,
    ".django": ADAPTER,
    ".tornado": ADAPTER,
    ".digital_ocean": ADAPTER,
    ".connect": (),
    ".experimental": (),
    ".experimental.ai": (),
    **{f".experimental.ai.{name}": ("Adapter",) for name in ("anthropic", "deepseek", "gemini", "grok", "openai")},
    ".experimental.dev_server": ("server",),
    ".experimental.digital_ocean_simulator": ("DigitalOceanSimulator", "FULL_PATH"),
    ".experimental.mocked": (),
    ".experimental.mocked.errors": ("UnstubbedStepError",),
    ".experimental.realtime": (),
    ".experimental.remote_state_middleware": (
        "InMemoryDriver",
        "RemoteStateMiddleware",
        "S3Driver",
        "StateDriver",
    ),
    ".experimental.sentry_middleware": ("SentryMiddleware",),
    "._internal.errors": (),
    "._internal.const": (),
    "._internal.net": (),
    "._internal.server_lib": (),
    "._internal.transforms": (),
    "._internal.types": (),
    "._internal.middleware_lib": (),
    "_encryption": (),
}
"""Modules by what follows `inngest` in their names, and the names of each; by default those of `__all__`, or all that
the module itself or one inside of it defines."""

PYDANTIC = (
    "no pydantic in the core: importing it takes longer than all of ours; the methods that programs call are there"
)
PRIVATE = "no counterpart: private, and about how the official engine works"
NEVER_MADE = "users never make one"
SHADOWED = "a hook of either colour overrides it, and may call and await it"
REASONS: dict[str, str] = {
    ":Function": NEVER_MADE,
    ":Function.call": PRIVATE,
    ":Function.call_sync": PRIVATE,
    ":Step": NEVER_MADE,
    ":StepSync": NEVER_MADE,
    **{
        f":Middleware.{hook}": SHADOWED
        for hook in (
            "after_execution",
            "after_send_events",
            "before_execution",
            "before_response",
            "before_send_events",
            "transform_input",
            "transform_output",
        )
    },
    ".experimental.sentry_middleware:SentryMiddleware.transform_output": "the parameter is named as in the base class",
    "._internal.const:VERSION": "our own version",
}
"""Why something differs, by module and name. What is missing of `._internal` modules needs none (see PRIVATE)."""

ABSENT = {
    "inngest.experimental.dev_server.command_runner": (
        "nothing public in it; it starts a program, where our executor runs in a thread"
    ),
    "inngest.connect._internal": "private; the public names of `inngest.connect` are there",
    **dict.fromkeys(
        (
            "inngest._internal.async_lib",
            "inngest._internal.client_lib.utils",
            "inngest._internal.comm_lib",
            "inngest._internal.config_lib",
            "inngest._internal.env_lib",
            "inngest._internal.execution_lib.base",
            "inngest._internal.execution_lib.utils",
            "inngest._internal.execution_lib.v0",
            "inngest._internal.log",
            "inngest._internal.middleware_lib.log",
            "inngest._internal.middleware_lib.manager",
            "inngest._internal.server_lib.execution_request",
            "inngest._internal.server_lib.inspection",
        ),
        "private, and about how the official engine works",
    ),
}
"""Modules without a counterpart, with all that is inside of them: why. Importing one is an error that says so."""

BEHAVIOUR = (
    ("An unknown argument", "TypeError: a misspelt option must not be lost", "ignored"),
    (
        "An event with a wrong or missing field",
        "`EventInvalidError`, a ValueError; `except ValueError` catches both",
        "pydantic's `ValidationError`, a ValueError",
    ),
    ("An event without a name, or with an empty one", "refused when it is made: servers refuse it", "sent"),
    ("Event data that is not JSON (datetime, UUID, dataclasses, …)", "sent as outputs of steps are", "refused"),
    (
        "What a server refuses of a function's options",
        "`FunctionConfigInvalidError` at the definition",
        "found at the sync",
    ),
    (
        "Outputs that are datetimes, sets, bytes, dataclasses, pydantic models without a serializer, …",
        "written as JSON, and given back in their type",
        "`OutputUnserializableError`, retried",
    ),
    (
        "Outputs with NaN, infinity or halves of characters",
        "`OutputUnserializableError`, not retried",
        "sent as they are",
    ),
    (
        "A reply of the event API that is no JSON, or of 400 and above without `error`",
        "`SendEventsError`",
        "`JSONDecodeError`; no error",
    ),
    (
        "Events without an id that a step sends",
        "get one from run and step: sent again, they start no second run",
        "start a run each time",
    ),
    (
        "Arguments of `step.run`",
        "the server is told in development, to show them and to repeat steps with others (`Inngest(step_inputs=…)`)",
        "never told",
    ),
    ("An empty list of events", "nothing is sent", "an empty request"),
    ("`except BaseException` around a step", "the step is reported all the same", "the function goes on without it"),
    ("A step of a run that is repeated with edited input", "is executed with it", "returns it as its output"),
    ("A step inside a step", "the outer one is an error, whatever the inner one is", "found late, or retried"),
    ("A target that the function does not reach", "an error", "inside a group, the function completes"),
    ("What a function or step raises", "is logged, unless it is `quiet`", "is not logged"),
    ("Durations", 'text such as "1h30m" is taken too', "int and timedelta"),
    ("Codes of errors", "text that has `.value` too", "enum members"),
    ("A signing key that is not hexadecimal", "refused when the client is made", "found at the sync"),
    ("`mocked.trigger`: outputs of steps", "go through JSON, as in production", "kept as they are"),
    (
        "`mocked.trigger`: steps",
        "executed where they are reached, as in production",
        "planned first, each in a call of its own",
    ),
    ("`mocked.trigger` of an `async def` function in a running event loop", "runs", "`RuntimeError`"),
    ("`mocked.trigger`: exceptions among the stubs", "the step fails with them", "the step returns them"),
    ("`mocked.trigger`: retries", "per step; a step that failed for good can be caught", "counted for the whole run"),
    ("`mocked.trigger`: errors that are not retriable", "not retried", "retried"),
    ("`mocked.Inngest.send` of one event", "one id", "one id for each of its four fields"),
    ("`dev_server.server`", "our executor, in a thread; origin 127.0.0.1", "`npx inngest-cli`; origin 0.0.0.0"),
    ("`connect`: errors in its arguments", "`ConfigurationError` and its like", "plain `Exception`s"),
    (
        "`connect`: heartbeats and leases",
        "as the gateway asks for them; a gateway that answers no heartbeats is left",
        "a heartbeat every 10 s; intervals in whole seconds",
    ),
    ("`connect`: a server that is lost", "is tried again for as long as it takes", "five times"),
    ("`connect`: a gateway that leaves", "the new connection first, then the old one is closed", "the other way round"),
    ("`FRAMEWORK` of adapters", "text", "an enum member"),
    ("`Function.get_config(url).main`", "a dict, as the wire has it", "a model with `to_dict()`"),
    ("`isinstance(MiddlewareSync(…), Middleware)`", "True: one base for both colours", "False"),
)
"""What introspection does not see: what, here, there."""


class Row(NamedTuple):
    """One name of the official package."""

    name: str
    official: Shape
    ours: Shape | None
    reason: str

    @property
    def verdict(self) -> str:
        """What the last column says."""
        if self.ours == self.official:
            return "same"
        if self.ours is not None and self.ours.holds(self.official):
            return f"more: {self.ours}"
        return f"differs: {self.reason}" if self.reason else "DIFFERS WITHOUT A REASON"


def missing_modules() -> dict[str, str]:
    """Return the modules of the official packages that `install_as_inngest` lacks, with the reason; "" if none is."""
    found: dict[str, str] = {}
    for package in ("inngest", "inngest_encryption"):
        for module in pkgutil.walk_packages(load(package).__path__, f"{package}."):
            if not module.name.endswith("_test") and not _is_there(counterpart(module.name)):
                outermost = [name for name in ABSENT if f"{module.name}.".startswith(f"{name}.")]
                found[module.name] = ABSENT[outermost[0]] if outermost else ""
    return found


def _is_there(module: str | None) -> bool:
    try:
        return module is not None and importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # what should be around it is not there, or not a package
        return False


def rows(module: str) -> list[Row]:
    """Return the rows of a module."""
    official = load(f"inngest{module}")
    names = MODULES[module] or getattr(official, "__all__", None) or _own_names(official)
    compared: list[Row] = []
    theirs, ours = _samples("inngest"), _samples("stepserve")
    for name in sorted(names):
        value = getattr(official, name)
        if inspect.ismodule(value):
            continue
        for path in (name, *(f"{name}.{member}" for member in _compared_members(module, value))):
            shape = find(f"inngest{module}", path, theirs)
            assert shape is not None, path
            found = find(counterpart(f"inngest{module}") or "", path, ours)
            is_private = found is None and module.startswith("._internal")
            if is_private:  # how it is called is nobody's business, and differs from one Python to the next
                shape = Shape(shape.kind)
            reason = REASONS.get(f"{module}:{path}") or (PRIVATE if is_private else "")
            compared.append(Row(path, shape, found, reason))
    return compared


def _compared_members(module: str, value: Any) -> list[str]:
    """Return the members to compare; of private modules only those of errors and enums."""
    if module.startswith("._internal") and not (
        inspect.isclass(value) and issubclass(value, (BaseException, enum.Enum))
    ):
        return []
    return members(value)


def _own_names(module: Any) -> list[str]:
    own = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", module.__name__).startswith(module.__name__)
        and not inspect.ismodule(value)
    ]
    return [name for name in own if name not in ("annotations", "T", "TTuple", "BaseModelT")]


def _samples(package: str) -> dict[str, Any]:
    module = load(package)
    client = module.Inngest(app_id="app", is_production=False, logger=logging.getLogger(__name__))
    function = client.create_function(fn_id="f", trigger=module.TriggerEvent(event="x"))(lambda ctx: ctx)
    return {"Inngest": client, "Function": function}


def render() -> str:
    """Return the document."""
    lines = [
        "# Compatibility with the official Python SDK",
        "",
        "Every public name of `inngest` 0.5.19, found by introspection of the installed package, beside ours.",
        "Parameters are shown without types. “same”: name, parameters, their order and defaults are equal.",
        "“more”: what works there works here. This file is written by `python -m tests.peers.compatibility`;",
        "a test fails when it is out of date.",
        "",
        "## What behaves differently on purpose",
        "",
        "| | here | there |",
        "|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in BEHAVIOUR),
        "",
        f"Pydantic: {PYDANTIC}.",
    ]
    lines += ["", "## Modules without a counterpart", "", "With all modules inside of them:", ""]
    lines += ["| module | reason |", "|---|---|", *(f"| `{module}` | {ABSENT[module]} |" for module in sorted(ABSENT))]
    for module in MODULES:
        lines += ["", f"## `inngest{module}`", "", "| name | official | here |", "|---|---|---|"]
        lines += [f"| `{row.name}` | {_cell(row.official)} | {row.verdict.replace('|', '/')} |" for row in rows(module)]
    return "\n".join(lines) + "\n"


def _cell(shape: Shape) -> str:
    return f"`{shape}`".replace("|", "/")


if __name__ == "__main__":
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(render())
