"""The executor as a server for tests (protocol.md 10.10)."""

from __future__ import annotations

import socket
from collections.abc import Generator

import httpx
import pytest

import stepserve
from stepserve.experimental import dev_server
from stepserve.experimental.dev_server.dev_server import DevServer
from stepserve_core.errors import ConfigurationError


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Generator[DevServer, None, None]:
    """Run a server, as users' fixtures do."""
    monkeypatch.setenv("DEV_SERVER_PORT", str(free_port()))
    made = DevServer()
    made.start()
    yield made
    made.stop()


def is_free(port: int) -> bool:
    """Say whether nobody listens at `port`."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) != 0


def test_events_can_be_sent_to_it(server: DevServer) -> None:
    client = stepserve.Inngest(app_id="app", is_production=False, event_api_base_url=server.origin)

    assert 26 == len(client.send_sync(stepserve.Event(name="x"))[0])


def test_its_port_is_free_after_it_stops_and_it_starts_again_there(server: DevServer) -> None:
    server.stop()
    assert is_free(server.port)

    server.start()
    assert 200 == httpx.get(f"{server.origin}/dev").status_code


def test_starting_and_stopping_twice_does_no_harm(server: DevServer) -> None:
    server.start()
    server.stop()
    server.stop()

    assert is_free(server.port)


def test_a_port_that_is_taken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("DEV_SERVER_PORT", str(port))
        server = DevServer()
        with pytest.raises(ConfigurationError, match=f"port {port} is taken"):
            server.start()
        server.stop()


def test_it_can_be_switched_off_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEV_SERVER_PORT", str(free_port()))
    monkeypatch.setenv("DEV_SERVER_ENABLED", "0")
    server = DevServer()

    server.start()

    assert is_free(server.port)


def test_there_is_one_for_the_process_at_the_usual_port() -> None:
    assert isinstance(dev_server.server, DevServer)
    assert "http://127.0.0.1:" in dev_server.server.origin
