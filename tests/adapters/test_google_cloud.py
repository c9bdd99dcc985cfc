"""Google Cloud Functions: the URL that callers use, which is not the one that the function sees."""

from __future__ import annotations

import flask
import pytest

import stepserve.google_cloud
from stepserve.testing.contract.fixtures import make_client
from stepserve.testing.contract.recorder import Recorder
from tests.adapters.answering import answering


@pytest.mark.parametrize(
    ("service", "host", "path", "proto", "url"),
    [
        ("inngest", "r-p.cloudfunctions.net", "/", "https", "https://r-p.cloudfunctions.net/inngest"),
        ("inngest", "r-p.cloudfunctions.net", "/api", "https", "https://r-p.cloudfunctions.net/inngest/api"),
        ("inngest", "inngest-abc-uc.a.run.app", "/", "https", "https://inngest-abc-uc.a.run.app/"),
        ("inngest", "inngest-abc-uc.a.run.app", "/api", "http", "http://inngest-abc-uc.a.run.app/api"),
        (None, "r-p.cloudfunctions.net", "/", "https", "http://r-p.cloudfunctions.net/"),
    ],
)
def test_the_url_is_the_one_that_the_caller_used(
    monkeypatch: pytest.MonkeyPatch, service: str | None, host: str, path: str, proto: str, url: str
) -> None:
    if service is None:
        monkeypatch.delenv("K_SERVICE", raising=False)
    else:
        monkeypatch.setenv("K_SERVICE", service)
    with Recorder.running() as recorder:
        client = make_client(recorder)
        function = stepserve.google_cloud.serve(client, [answering(client, 1)])
        headers = {"host": host, "x-forwarded-proto": proto}
        with flask.Flask("shop").test_request_context(path, method="PUT", headers=headers):
            response = function(flask.request)

        assert response.status_code == 200
        assert url == recorder.requests[0].json()["url"]
