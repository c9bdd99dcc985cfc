"""Settings files: which one is read, what it may say, and what wins over it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stepserve_core.cli.application import app
from stepserve_core.cli.problems import UsageProblem
from stepserve_core.executor import server
from stepserve_core.executor.server import ServerConfig

Run = Callable[..., ServerConfig]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run `dev` or `start` in an empty folder, up to the moment when it would serve; return how it would."""
    served: list[ServerConfig] = []
    monkeypatch.setattr(server, "run", lambda config, _: served.append(config))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")

    def run_command(*arguments: str, **variables: str) -> ServerConfig:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        app(arguments, prog_name="stepserve", standalone_mode=False)
        return served.pop()

    return run_command


def write(path: Path, settings: Any) -> Path:
    """Write a settings file: text, or what becomes JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(settings if isinstance(settings, str) else json.dumps(settings))
    return path


def test_flags_win_over_variables_and_these_over_the_file_and_that_over_defaults(run: Run, tmp_path: Path) -> None:
    settings = {"port": 1, "queue-workers": 2, "gateway-timeout": 3, "sdk-url": ["a:1/x"], "gateway-allow": "public"}
    write(tmp_path / "inngest.json", settings)
    config = run("dev", "--port", "5", INNGEST_PORT="4", INNGEST_QUEUE_WORKERS="6", INNGEST_SDK_URL="b:1,c:2")

    assert (5, 6, 3.0, 5.0) == (config.port, config.concurrency, config.gateway_timeout, config.poll_interval)
    assert (("http://b:1", "http://c:2"), ("public",)) == (config.sdk_urls, config.gateway_allow)


@pytest.mark.parametrize("name", ["inngest.json", "inngest.yaml", "inngest.yml"])
@pytest.mark.parametrize("folder", [".", "..", "../..", "home/.config/inngest"])
def test_the_file_is_found_here_or_above_or_at_home(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, name: str
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    base = tmp_path if folder.startswith("home") else tmp_path / "a" / "b"
    write((base / folder).resolve() / name, {"api-port": 77})
    monkeypatch.chdir(tmp_path / "a" / "b")

    assert 77 == run("dev").port


def test_the_nearest_file_is_read_and_no_other(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "inngest.json", {"nonsense": 1})
    write(tmp_path / "near" / "inngest.yml", "host: 127.0.0.2")
    monkeypatch.chdir(tmp_path / "near")

    assert "127.0.0.2" == run("dev").host


def test_a_file_may_be_named_by_flag_or_variable(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "inngest.json", {"port": 1})
    write(tmp_path / "other.yaml", "port: 2\nno-poll: true\nretention: 30d\nlog-level: error\n")

    assert (2, False, 30 * 86_400.0) == (
        (config := run("dev", "--config", "other.yaml")).port,
        config.poll,
        config.retention,
    )
    assert 2 == run("dev", INNGEST_CONFIG="other.yaml").port


def test_one_file_serves_both_commands(run: Run, tmp_path: Path) -> None:
    settings = {"persist": True, "signing-key": "abcd", "event-key": ["k1", "k2"], "tick": 150, "sqlite-dir": "data"}
    write(tmp_path / "inngest.json", settings)
    dev, start = run("dev"), run("start")

    assert ("data/main.db", "data/main.db") == (dev.database, start.database)
    assert (None, "abcd", ("k1", "k2")) == (dev.signing_key, start.signing_key, start.event_keys)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("a.yaml", "prot: 1", "a.yaml: there is no setting 'prot'; did you mean 'port'?"),
        ("a.json", {"sdk_url": ["x"]}, "a.json: there is no setting 'sdk_url'; did you mean 'sdk-url'?"),
        ("a.json", {"config": "b.json"}, "there is no setting 'config'"),
        ("a.json", {"port": "many"}, "a.json: port: "),
        ("a.json", {"port": 70_000}, "a.json: port: .*65535"),
        ("a.json", {"port": [1]}, "a.json: port: this cannot be a value; see --port in --help"),
        ("a.json", {"sdk-url": {"a": 1}}, "a.json: sdk-url: this cannot be a value"),
        ("a.json", {"persist": "yes"}, "a.json: persist: it is true or false"),
        ("a.json", {"log-level": "loud"}, "a.json: log-level: .*'loud' is not one of"),
        ("a.json", {"redis-uri": "redis://x"}, "--redis-uri .* cannot be used: this server keeps everything in one"),
        ("a.json", [1], "the settings must be names and values"),
        ("a.yaml", "only text", "the settings must be names and values"),
        ("a.json", "{", "a.json: the settings cannot be read"),
        ("a.yaml", "a: [", "a.yaml: the settings cannot be read: while parsing a flow node"),
        ("a.yaml", "!!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.yaml", "[" * 100_000, "nested too deeply"),
        ("a.json", " " * 1_100_000, "larger than 1048576 bytes"),
        ("a.toml", "port = 1", "a file of settings is called .json, .yaml or .yml"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_an_error_with_its_name(
    run: Run, tmp_path: Path, name: str, settings: Any, message: str
) -> None:
    write(tmp_path / name, settings)
    with pytest.raises(UsageProblem, match=message):
        run("dev", "--config", name)


def test_a_file_that_is_not_there_is_an_error(run: Run) -> None:
    with pytest.raises(UsageProblem, match=r"none.json: the settings cannot be read: No such file or directory"):
        run("dev", "--config", "none.json")


@pytest.mark.parametrize("flag", ["--tick", "--connect-gateway-grpc-port", "--debug-api-port"])
@pytest.mark.parametrize("command", [("dev",), ("start", "--signing-key", "ab", "--event-key", "k")])
def test_flags_of_the_official_server_without_meaning_here_are_accepted(
    run: Run, command: tuple[str, ...], flag: str
) -> None:
    assert run(*command) == run(*command, flag, "150")


@pytest.mark.parametrize("flag", ["--postgres-uri", "--redis-uri"])
def test_databases_that_would_not_be_used_are_refused(run: Run, flag: str) -> None:
    with pytest.raises(UsageProblem, match=f"{flag} .* cannot be used: this server keeps everything in one SQLite"):
        run("dev", flag, "redis://x")
