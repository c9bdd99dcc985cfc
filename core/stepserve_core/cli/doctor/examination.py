"""What `stepserve doctor` looks at, and what it makes of it."""

from __future__ import annotations

import os

import httpx

from stepserve_core.cli.connection import read_url
from stepserve_core.cli.doctor.app_checks import check_app
from stepserve_core.cli.doctor.findings import Finding, check_environment
from stepserve_core.cli.doctor.looks import Observer
from stepserve_core.cli.doctor.server_checks import check_server, kind_of


def examine(app_url: str | None, server_url: str, signing_key: str | None) -> list[Finding]:
    """Return what there is to say about the environment, a server, and one app or all that it knows."""
    findings = list(check_environment(os.environ))
    with httpx.Client(trust_env=False, follow_redirects=False) as http:
        observer = Observer(http, signing_key)
        server = observer.server(server_url)
        findings += check_server(server, has_key=signing_key is not None)
        urls = [app["url"] for app in server.apps or ()] if app_url is None else [read_url(app_url, "APP_URL")]
        for each in urls:
            findings += check_app(observer.app(each, kind_of(server)), server, signing_key)
    return findings
