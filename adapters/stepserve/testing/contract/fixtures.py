"""What the tests of the suite share: apps of both colours on a harness, and a server that records."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stepserve import Function, Inngest
from stepserve.testing.contract import functions_async, functions_sync
from stepserve.testing.contract.harness import Harness
from stepserve.testing.contract.recorder import Recorder
from stepserve.testing.contract.served import APP_ID, EVENT_KEY, KEY, App
from stepserve_core.testing import patience

Make = Callable[[Inngest], list[Function[Any]]]


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


@pytest.fixture(scope="session", autouse=True)
def impatient() -> Iterator[None]:
    """Let streamed calls send the bytes that keep connections alive far more often.

    For the whole session: an app may live in another process, where nothing can be changed once it is mounted.
    """
    with patience(keep_alive=0.01):
        yield


@pytest.fixture(autouse=True)
def forget_requests(recorder: Recorder) -> None:
    """Let each test begin with a server that has heard nothing."""
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


def needs_streaming(harness: Harness) -> None:
    """Skip a test where nothing can be streamed."""
    if not harness.STREAMS:
        pytest.skip(f"{type(harness).__name__} declares that it cannot stream")
