"""Runs every contract test over every framework and both colours of functions."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stepserve import Function, Inngest
from tests.contract import functions_async, functions_sync
from tests.contract.recorder import Recorder
from tests.contract.served import APP_ID, EVENT_KEY, KEY, App
from tests.frameworks.harness import Harness

HARNESSES = [
    # module below tests.frameworks, class, packages that it needs
    ("asgi", "ASGIOnHypercorn", ("hypercorn",)),
    ("asgi", "ASGIOnUvicorn", ("uvicorn",)),
    ("fastapi", "FastAPIOnUvicorn", ("fastapi", "uvicorn")),
    ("flask", "FlaskOnWaitress", ("flask", "waitress")),
    ("flask", "FlaskOnWerkzeug", ("flask",)),
    ("starlette", "StarletteOnUvicorn", ("starlette", "uvicorn")),
    ("wsgi", "WSGIOnGunicorn", ("gunicorn",)),
    ("wsgi", "WSGIOnWaitress", ("waitress",)),
]

Make = Callable[[Inngest], list[Function[Any]]]


def _row(module: str, name: str, packages: tuple[str, ...]) -> Any:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    reason = f"not installed: {', '.join(missing)}"
    return pytest.param((module, name), id=name, marks=pytest.mark.skipif(bool(missing), reason=reason))


@pytest.fixture(scope="session", params=[_row(*row) for row in HARNESSES])
def harness(request: pytest.FixtureRequest) -> Harness:
    """Return a framework on its server."""
    module, name = request.param
    made: Harness = getattr(importlib.import_module(f"tests.frameworks.{module}"), name)()
    return made


@pytest.fixture(scope="session", params=["def", "async def"])
def colour(request: pytest.FixtureRequest) -> str:
    """Return the colour of the functions that are served."""
    colour: str = request.param
    return colour


@pytest.fixture(scope="session")
def make_functions(colour: str) -> Make:
    """Return what makes the functions of this colour for a client."""
    return functions_async.make if colour == "async def" else functions_sync.make


@pytest.fixture(scope="session")
def recorder() -> Iterator[Recorder]:
    """Return a server that apps register with and send events to."""
    with Recorder.running() as running:
        yield running


@pytest.fixture(autouse=True)
def _forget_requests(recorder: Recorder) -> None:
    recorder.forget()


@pytest.fixture(scope="session")
def client(recorder: Recorder) -> Inngest:
    """Return a client in production mode."""
    return make_client(recorder)


@pytest.fixture(scope="session")
def app(harness: Harness, client: Inngest, make_functions: Make) -> Iterator[App]:
    """Return an app in production mode."""
    with harness.mount(client, make_functions(client), before_request=set_variable) as send:
        yield App(send)


@pytest.fixture(scope="session")
def dev_app(harness: Harness, recorder: Recorder, make_functions: Make) -> Iterator[App]:
    """Return an app in dev mode."""
    client = make_client(recorder, is_production=False)
    with harness.mount(client, make_functions(client)) as send:
        yield App(send)


def make_client(recorder: Recorder, **arguments: Any) -> Inngest:
    """Return a client in production mode whose server is the recorder."""
    defaults: dict[str, Any] = {
        "app_id": APP_ID,
        "api_base_url": recorder.origin,
        "event_api_base_url": recorder.origin,
        "event_key": EVENT_KEY,
        "is_production": True,
        "signing_key": KEY,
    }
    return Inngest(**{**defaults, **arguments})


def set_variable() -> None:
    """Set the context variable that functions read."""
    functions_sync.variable.set("set by the framework")
