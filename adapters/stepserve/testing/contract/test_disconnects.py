"""Servers that hang up before they have their answer: the app goes on serving, and nobody is alarmed."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from stepserve import Inngest, Streaming
from stepserve.testing.contract.fixtures import Make
from stepserve.testing.contract.gate import Gate
from stepserve.testing.contract.harness import Harness
from stepserve.testing.contract.served import App, StreamedApp
from stepserve_core import _streaming


@pytest.mark.parametrize("streamed", [False, True])
def test_a_server_may_hang_up_while_a_function_runs(
    harness: Harness,
    client: Inngest,
    make_functions: Make,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    streamed: bool,
) -> None:
    if streamed and not harness.STREAMS:
        pytest.skip(f"{type(harness).__name__} declares that it cannot stream")
    monkeypatch.setattr(_streaming, "KEEP_ALIVE", 0.01)
    options: dict[str, Any] = {"streaming": Streaming.FORCE} if streamed else {}
    with Gate.closed() as gate:
        with harness.mount(client, make_functions(client), **options) as send:
            app = StreamedApp(send) if streamed else App(send)
            with app.begin_call("blocks", data={"gate": gate.port}) as connection:
                if streamed:
                    connection.getresponse().read(3)
                gate.wait_for(1)
            others = [app.call("two-steps").json()[0]["data"] for _ in range(3)]
            gate.open()
            again = app.call("blocks", data={"gate": gate.port}).json()
        alarms = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
        printed = capfd.readouterr()

    assert others == [1, 1, 1]
    assert again == "let through"
    assert alarms == []
    assert "Traceback" not in printed.out + printed.err


def test_a_request_that_ends_early_is_no_call(app: App, caplog: pytest.LogCaptureFixture) -> None:
    promised = [("content-length", "1000")]
    with app.send.begin("POST", app.path + "?fnId=shop-two-steps", b"", promised) as connection:
        connection.send(b'{"half": ')
    answered = app.call("two-steps").status

    assert answered == 206
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
