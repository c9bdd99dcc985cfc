"""Children are awaited and stopped by handle, and what they said is shown when they die."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from stepserve_core.cli.problems import Problem
from stepserve_core.demo.processes import Child, Children, free_port

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)


def start(children: Children, folder: Path, source: str, name: str = "child") -> Child:
    return children.start(name, [sys.executable, "-u", "-c", source], dict(os.environ), folder)


def wait_for_line(child: Child, line: str) -> None:
    deadline = time.monotonic() + 20
    while line not in child.tail():
        assert time.monotonic() < deadline, child.tail()
        child.require_alive()


def test_a_child_that_dies_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    """Instead of waiting for an answer that never comes."""
    source = "for i in range(30): print('line', i)\nraise SystemExit(3)"
    with Children(tmp_path) as children, pytest.raises(Problem) as raised:
        start(children, tmp_path, source).wait_until_answering("http://127.0.0.1:1/", time.monotonic() + 20)

    lines = str(raised.value).splitlines()
    assert "child ended with exit code 3. The end of its log:" == lines[0]
    assert [f"  line {i}" for i in range(10, 30)] == lines[1:]


def test_a_child_that_says_nothing_is_reported_too(tmp_path: Path) -> None:
    """The empty log is named as such."""
    with Children(tmp_path) as children:
        child = start(children, tmp_path, "")
        with pytest.raises(Problem, match=r"exit code 0\..*\n  \(nothing\)"):
            child.wait_until_answering("http://127.0.0.1:1/", time.monotonic() + 20)


def test_a_child_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    """At the deadline, with its log."""
    with Children(tmp_path) as children:
        child = start(children, tmp_path, STUBBORN.replace("SIG_IGN", "SIG_DFL"))
        wait_for_line(child, "ready")
        url = f"http://127.0.0.1:{free_port()}/"
        with pytest.raises(Problem, match=rf"child does not answer at {url}\. The end of its log:\n  ready"):
            child.wait_until_answering(url, time.monotonic())


def test_a_child_that_answers_is_awaited(tmp_path: Path) -> None:
    """Whatever the status of the answer is."""
    port = free_port()
    with Children(tmp_path) as children:
        child = start(children, tmp_path, f"import http.server; http.server.test(port={port}, bind='127.0.0.1')")
        child.wait_until_answering(f"http://127.0.0.1:{port}/no/such/page", time.monotonic() + 20)

        children.require_alive()
        assert '"GET /no/such/page HTTP/1.1" 501' in child.tail()


def test_leaving_stops_children_that_do_not_go_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By force, after a grace; also when something went wrong."""
    monkeypatch.setattr("stepserve_core.demo.processes._GRACE", 0.05)
    children = Children(tmp_path)
    child = start(children, tmp_path, STUBBORN)
    wait_for_line(child, "ready")
    with pytest.raises(KeyError), children:
        raise KeyError

    with pytest.raises(Problem, match="child ended with exit code -9"):
        child.require_alive()


def test_an_interrupted_stop_still_stops_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second Ctrl-C does not leave processes behind."""
    wait, interrupted = subprocess.Popen[bytes].wait, threading.Event()

    def interrupt_once(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        if not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt
        return wait(process, timeout)

    children = Children(tmp_path)
    stubborn = [start(children, tmp_path, STUBBORN, name) for name in ("first", "second")]
    for child in stubborn:
        wait_for_line(child, "ready")
    monkeypatch.setattr("stepserve_core.demo.processes._GRACE", 0.05)
    monkeypatch.setattr(subprocess.Popen, "wait", interrupt_once)
    with pytest.raises(KeyboardInterrupt), children:
        pass

    for child in stubborn:
        with pytest.raises(Problem, match="exit code -9"):
            child.require_alive()


def test_a_free_port_can_be_listened_at() -> None:
    """At least right after it was asked for."""
    with socket.create_server(("127.0.0.1", free_port())) as server:
        assert "127.0.0.1" == server.getsockname()[0]
