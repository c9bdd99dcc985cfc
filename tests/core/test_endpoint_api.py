"""What the server is told of the runs of durable endpoints, and what it must answer (protocol.md 13.2)."""

from __future__ import annotations

import pytest

from stepserve_core._checkpoint_api import CheckpointFailedError
from stepserve_core._endpoint_api import EndpointAPI
from stepserve_core._runtime import SyncRuntime, run_sync
from tests.core.calls import dev_client
from tests.core.local_server import Reply, serving


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"{}", b"\xff", b""])
def test_an_answer_of_something_else_than_the_server_saves_nothing(body: bytes) -> None:
    with serving(Reply(200, body)) as server:
        client = dev_client(api_base_url=server.origin)
        api = EndpointAPI(client, {}, 3)
        with pytest.raises(CheckpointFailedError, match="is no server"):
            run_sync(api.save(SyncRuntime(), None, []))

    assert not api.is_open
