"""Keys are in no log, error, answer, introspection, or file of the database."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import httpx
import pytest

from stepserve_core._signature import hash_signing_key, sign
from tests.cli.command import environment, run_stepserve, running

SIGNING, FALLBACK, EVENT = "5ec4e7" * 8, "0dd5ec" * 8, "event-key-that-nobody-sees"
SECRETS = (SIGNING, FALLBACK, EVENT, hash_signing_key(SIGNING), hash_signing_key(FALLBACK))
KEYS = {
    "INNGEST_SIGNING_KEY": f"signkey-test-{SIGNING}",
    "INNGEST_SIGNING_KEY_FALLBACK": f"signkey-test-{FALLBACK}",
    "INNGEST_EVENT_KEY": EVENT,
}


@contextlib.contextmanager
def shop(log: Path, server: str) -> Generator[str]:
    """Run the shop in production mode, with everything logged that can be, and yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--port", str(port), "--log-level", "trace", "tests.cli.shop:app"]
    variables = environment(PRODUCTION="1", INNGEST_BASE_URL=server, INNGEST_ALLOW_IN_BAND_SYNC="1", **KEYS)
    with log.open("w") as file:
        process = subprocess.Popen(command, env=variables, cwd=Path(__file__).parents[2], stdout=file, stderr=file)
    try:
        for _ in range(400):
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}/api/inngest")
                break
        yield f"http://127.0.0.1:{port}/api/inngest"
    finally:
        process.kill()
        process.wait()


def told(url: str, app_url: str) -> Iterator[str]:
    """Yield what server and app answer to whoever asks, rightly or wrongly."""
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {KEYS['INNGEST_SIGNING_KEY']}"}) as http:
        for path in (
            "/v2/apps",
            "/v2/runs?includeOutput=true",
            "/v2/account",
            "/v2/envs",
            "/v1/events",
            "/openapi.json",
        ):
            yield http.get(path).text
        for run in http.get("/v2/runs").json()["data"]:
            yield http.get(f"/v2/runs/{run['id']}/trace").text
    for wrong in ("Bearer nothing", f"Basic {SIGNING[:-1]}0"):
        yield httpx.get(f"{url}/v2/runs", headers={"authorization": wrong}).text
    yield httpx.post(f"{url}/e/wrong", json={"name": "a"}).text
    yield httpx.get(app_url).text
    yield httpx.post(app_url, content=b"{}", headers={"x-inngest-signature": sign(b"{}", "beef", 1)}).text


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return everything that a server and an app wrote and said, by what it is, after work that went well and badly."""
    folder = tmp_path_factory.mktemp("secrets")
    database = folder / "runs.db"
    options = ("--port", "0", "--retry-interval", "0.05", "--db", str(database), "--log-level", "debug")
    with running("start", *options, variables=KEYS) as server, shop(folder / "app.log", server.url) as app_url:
        variables = {**KEYS, "INNGEST_BASE_URL": server.url}
        printed = [
            run_stepserve(*arguments, variables=variables)
            for arguments in (
                ("apps", "sync", app_url),
                ("functions", "invoke", "shop-ship", "--watch"),
                ("functions", "invoke", "shop-refuse", "--watch"),
                ("send", "shop/greeted", "--data", '{"name": "Ada"}'),
                ("apps", "sync", "http://127.0.0.1:1/api/inngest"),
                ("doctor",),
                ("doctor", app_url, "--json"),
            )
        ]
        answers = "\n".join(told(server.url, app_url))
    said = "\n".join(ended.stdout + ended.stderr for ended in printed)

    assert [0, 0, 3, 0, 1] == [ended.returncode for ended in printed[:5]], said
    return {
        "the log of the server": "\n".join(server.log).encode(),
        "the log of the app": (folder / "app.log").read_bytes(),
        "answers": answers.encode(),
        "what commands print": said.encode(),
        "files of the database": b"".join(path.read_bytes() for path in folder.glob("runs.db*")),
    }


@pytest.mark.parametrize(
    "what", ["the log of the server", "the log of the app", "answers", "what commands print", "files of the database"]
)
def test_keys_and_their_hashes_are_not_in(written: dict[str, bytes], what: str) -> None:
    """Neither keys nor what opens the API in their place; what is looked through is not empty."""
    assert len(written[what]) > 200
    assert [] == [secret for secret in SECRETS if secret.encode() in written[what]]


def test_what_is_looked_through_tells_of_the_work(written: dict[str, bytes]) -> None:
    """Or the search would prove nothing."""
    assert b"out of stock" in written["the log of the app"]
    assert b"shop-refuse" in written["answers"]
    assert b"out of stock" in written["files of the database"]
    assert b"could not be synced" in written["the log of the server"]
