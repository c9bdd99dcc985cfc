"""What users can put right is said in a sentence, without a traceback."""

from __future__ import annotations

import socket
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.cli.command import run_stepserve

KEYS = ("--signing-key", "abcd", "--event-key", "key")


@pytest.mark.parametrize(
    ("arguments", "variables", "exit_code", "sentence"),
    [
        (["start"], {}, 2, "a signing key is required: --signing-key or INNGEST_SIGNING_KEY"),
        (["start", "--signing-key", "abcd"], {}, 2, "event key is required: --event-key or INNGEST_EVENT_KEY"),
        (["start"], {"INNGEST_SIGNING_KEY": "abcd"}, 2, "event key is required: --event-key or INNGEST_EVENT_KEY"),
        (["start"], {"INNGEST_SIGNING_KEY": "abc", "INNGEST_EVENT_KEY": "key"}, 2, "(INNGEST_SIGNING_KEY)"),
        (["start", *KEYS, "--signing-key-fallback", "zz"], {}, 2, "--signing-key-fallback"),
        (["dev", "--port", "70000"], {}, 2, "'--port'"),
        (["dev"], {"INNGEST_PORT": "many"}, 2, "'--port'"),
        (["dev", "--retry-interval", "-1"], {}, 2, "'--retry-interval'"),
        (["dev", "--log-level", "loud"], {}, 2, "'--log-level'"),
        (["dev", "--host", "no.such.host.invalid"], {}, 2, "cannot listen at no.such.host.invalid:8288"),
        (["dev", "-u", "nonsense"], {}, 2, "--sdk-url (or the environment variable INNGEST_SDK_URL)"),
        (["dev"], {"INNGEST_SDK_URL": "localhost:1,ftp://a:2"}, 2, "invalid URL 'ftp://a:2'"),
        (["send", "a", "--data", "[1]"], {}, 2, "--data must be a JSON object"),
        (["send", "a", "--data", "{"], {}, 2, "--data must be a JSON object"),
        (["send", "a", "--url", "nowhere"], {}, 2, "--url (or the environment variable INNGEST_BASE_URL)"),
        (["send", "a", "--url", "http://127.0.0.1:1"], {}, 1, "no executor answers at http://127.0.0.1:1"),
        (["runs", "show", "a", "--signing-key", "zz"], {}, 2, "INNGEST_SIGNING_KEY) is not a signing key"),
        (["runs", "show", "a"], {"INNGEST_BASE_URL": "127.0.0.1:1"}, 1, "no executor answers at http://127.0.0.1:1"),
        (["runs", "list", "--since", "yesterday"], {}, 2, "neither a duration such as 2h nor a date"),
        (["runs", "rerun", "a", "--input", "[1]"], {}, 2, "--input needs --from-step"),
        (["runs", "rerun", "a", "--from-step", "b", "--input", "{}"], {}, 2, "--input must be a JSON array"),
        (["functions", "invoke", "a", "--data", "1"], {}, 2, "--data must be a JSON object"),
        (["demo", "--framework", "rails"], {}, 2, "'--framework'"),
        (["sned"], {}, 2, "No such command 'sned'"),
    ],
)  # fmt: skip
def test_a_mistake_is_a_sentence(
    arguments: list[str], variables: dict[str, str], exit_code: int, sentence: str
) -> None:
    """The sentence names the flag and the variable; nothing else is printed."""
    ended = run_stepserve(*arguments, variables=variables)

    assert (exit_code, "") == (ended.returncode, ended.stdout)
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_bad_key_is_not_shown() -> None:
    """What was given as a key stays out of logs, even where it is not one."""
    ended = run_stepserve("start", "--signing-key", "my-secret-phrase", "--event-key", "key")

    assert "my-secret-phrase" not in ended.stderr
    assert "not a signing key" in ended.stderr


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("folder", "cannot be opened"),
        ("note.txt", "is not a database of stepserve"),
        ("note.txt/below.db", "cannot be opened"),
    ],
)
def test_a_database_that_cannot_be_used_is_a_sentence(tmp_path: Path, path: str, sentence: str) -> None:
    """The path is named."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "note.txt").write_text("something else, of which the user is fond, and longer than a header" * 10)

    ended = run_stepserve("start", *KEYS, "--port", "0", "--db", str(tmp_path / path))

    assert 2 == ended.returncode
    assert str(tmp_path / path) in ended.stderr
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.fixture
def busy_ports() -> Generator[tuple[str, str]]:
    """Return two ports that are taken."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        yield str(first.getsockname()[1]), str(second.getsockname()[1])


def test_a_busy_port_is_a_sentence_and_a_flag_beats_its_variable(tmp_path: Path, busy_ports: tuple[str, str]) -> None:
    """The port that was tried is the one of the flag where there is one, else of the variable."""
    in_flag, in_variable = busy_ports
    given = ["start", *KEYS, "--db", str(tmp_path / "runs.db")]

    with_flag = run_stepserve(*given, "--port", in_flag, variables={"INNGEST_PORT": in_variable})
    without = run_stepserve(*given, variables={"INNGEST_PORT": in_variable})

    assert (1, f"stepserve: port {in_flag} is in use; choose another one with --port\n") == (
        with_flag.returncode,
        with_flag.stderr,
    )
    assert (1, f"stepserve: port {in_variable} is in use; choose another one with --port\n") == (
        without.returncode,
        without.stderr,
    )
