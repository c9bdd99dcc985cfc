"""The pytest plugin of stepserve. pytest loads it at every start, so it imports nothing before a test asks for it.

It is a package of its own for that reason: importing a module of `stepserve` imports all of `stepserve`.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from stepserve.testing.clocks import HarnessClock, HarnessClockSync
    from stepserve.testing.harness import Harness, HarnessSync
    from stepserve.testing.server import LiveServer
    from stepserve_core.executor.fault_report import FaultReport
    from stepserve_core.faults import Faults

__all__ = [
    "pytest_addoption",
    "pytest_configure",
    "pytest_terminal_summary",
    "stepserve",
    "stepserve_app",
    "stepserve_clock",
    "stepserve_faults",
    "stepserve_server",
]

_MARKER = "stepserve(client, functions, **options): the app of the fixture `stepserve`, and options of its Harness"
_FOUND = "stepserve_faults"
"""The property of a test that has what its faults brought to light; so it comes through from processes of xdist too."""

_HELP = (
    "the fixture `stepserve` needs to know your app: mark the test, its class or its module with"
    " @pytest.mark.stepserve(client, [order, refund]), or define a fixture `stepserve_app` that returns the client and"
    " the functions"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that lets a whole suite run under faults."""
    parser.getgroup("stepserve").addoption(
        "--stepserve-faults",
        metavar="FAULTS",
        help="faults for tests whose marker names none, such as drop_answer=0.3,duplicate_delivery=0.3,seed=7",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARKER)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what faults brought to light, also in tests that passed."""
    reports = [report for category in terminalreporter.stats.values() for report in category]
    found = {
        (report.nodeid, text)
        for report in reports
        for name, text in getattr(report, "user_properties", ())
        if name == _FOUND
    }
    if found:
        terminalreporter.section("what faults brought to light")
        for node_id, text in sorted(found):
            terminalreporter.write_line(f"{node_id}: {text}")


def _note_findings(request: pytest.FixtureRequest, report: FaultReport) -> None:
    """Keep a report that has more in it than steps which ran again."""
    if report.executed_again or report.nondeterministic or report.changed or report.changed_arguments:
        request.node.user_properties.append((_FOUND, report.text()))


@pytest.fixture
def stepserve_app(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """Return the client and the functions under test; override it for a whole project."""
    for marker in request.node.iter_markers("stepserve"):
        given = dict(zip(("client", "functions"), marker.args, strict=False)) | marker.kwargs
        if "client" in given and "functions" in given:
            return given["client"], given["functions"]
    pytest.fail(_HELP, pytrace=False)


@pytest.fixture
def stepserve_faults(request: pytest.FixtureRequest) -> Faults | None:
    """The faults of `--stepserve-faults`; None without it."""
    text: str | None = request.config.getoption("stepserve_faults")
    if text is None:
        return None
    from stepserve_core.errors import ConfigurationError
    from stepserve_core.faults import Faults

    try:
        return Faults.parse(text)
    except ConfigurationError as error:
        pytest.fail(f"--stepserve-faults: {error}", pytrace=False)


@pytest.fixture
def stepserve(
    request: pytest.FixtureRequest, stepserve_app: tuple[Any, Any], stepserve_faults: Faults | None
) -> Generator[Harness | HarnessSync, None, None]:
    """A harness for the app: `Harness` in async tests, `HarnessSync` in others."""
    from stepserve.testing.harness import Harness, HarnessSync
    from stepserve_core.testing import run_sync

    options: dict[str, Any] = {"faults": stepserve_faults}
    for marker in reversed(list(request.node.iter_markers("stepserve"))):  # the closest one counts
        options |= {name: value for name, value in marker.kwargs.items() if name not in ("client", "functions")}
    known = inspect.signature(HarnessSync).parameters.keys() - {"client", "functions"}
    for name in options.keys() - known:
        pytest.fail(
            f"@pytest.mark.stepserve has no option {name!r}; it knows {', '.join(sorted(known))}", pytrace=False
        )
    function: object = getattr(request, "function", None)
    kind = Harness if inspect.iscoroutinefunction(function) else HarnessSync
    harness = kind(*stepserve_app, **options)
    if isinstance(harness, HarnessSync):
        with harness:
            yield harness
        _note_findings(request, harness.fault_report)
        return
    # A store in memory suspends nobody, so that no event loop is needed here: whose would it be?
    run_sync(harness.open())
    try:
        yield harness
    finally:
        run_sync(harness.close())
        _note_findings(request, harness.fault_report)


@pytest.fixture
def stepserve_clock(stepserve: Harness | HarnessSync) -> HarnessClock | HarnessClockSync:
    """The virtual clock of the fixture `stepserve`."""
    return stepserve.clock


@pytest.fixture
def stepserve_server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, stepserve_faults: Faults | None
) -> Generator[LiveServer, None, None]:
    """A real executor on a free port, in real time. Clients that are made during the test find it by INNGEST_DEV."""
    from stepserve.testing.server import LiveServer

    with LiveServer(faults=stepserve_faults) as server:
        monkeypatch.setenv("INNGEST_DEV", server.url)
        yield server
        _note_findings(request, server.fault_report)
