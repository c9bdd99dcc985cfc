"""The flags of `stepserve dev` and `stepserve start`; docs/executor.md explains them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from stepserve_core.cli.log_lines import LogLevel
from stepserve_core.cli.settings import variable_of


def option(flag: str, help_text: str, *names: str, **settings: Any) -> Any:
    """An option whose variable is that of its name."""
    return typer.Option(flag, *names, help=help_text, envvar=variable_of(flag), **settings)


def list_option(flag: str, help_text: str, *names: str, metavar: str) -> Any:
    """An option that may be repeated. Its variable is read by `values_of`: the library would split it at blanks."""
    text = f"{help_text}  [env var: {variable_of(flag)}, separated by commas]"
    return typer.Option(flag, *names, help=text, metavar=metavar)


Host = Annotated[str, option("--host", "Address to listen at; 0.0.0.0 for every interface.", metavar="ADDRESS")]
Port = Annotated[
    int, option("--port", "Port to listen at; 0 takes a free one.", "-p", min=0, max=65535, metavar="PORT")
]
ConnectPort = Annotated[
    int | None,
    option(
        "--connect-gateway-port",
        "Port for workers that connect; by default the one after --port.",
        min=0,
        max=65535,
        metavar="PORT",
    ),
]
SdkUrls = Annotated[
    list[str] | None,
    list_option("--sdk-url", "URL where an app serves its functions; may be repeated.", "-u", metavar="URL"),
]
RetryInterval = Annotated[
    float,
    option("--retry-interval", "Fixed seconds between attempts; 0 for growing ones.", min=0.0, metavar="SECONDS"),
]
PollInterval = Annotated[
    float,
    option("--poll-interval", "Seconds between two rounds of syncing apps; 0 for 5.", min=0.0, metavar="SECONDS"),
]
QueueWorkers = Annotated[int, option("--queue-workers", "Calls to apps under way at once.", min=1, metavar="COUNT")]
GatewayAllow = Annotated[
    list[str] | None,
    list_option(
        "--gateway-allow",
        "Where step.fetch and step.ai.infer may connect to: public, private, loopback, or a host, address or network;"
        " may be repeated. By default public, and in development private and loopback too.",
        metavar="PLACE",
    ),
]
GatewayTimeout = Annotated[
    float,
    option(
        "--gateway-timeout",
        "Seconds that a request of step.fetch or step.ai.infer may take.",
        min=1.0,
        metavar="SECONDS",
    ),
]
BacklogLimit = Annotated[
    int | None,
    option(
        "--backlog-limit",
        "Runs of one function that may wait to start; further ones are skipped. By default any number.",
        min=1,
        metavar="COUNT",
    ),
]
Retention = Annotated[
    str | None,
    option(
        "--retention",
        "Delete runs that ended, and events, longer ago than this, such as 30d. By default they are kept.",
        metavar="DURATION",
    ),
]
NoUi = Annotated[bool, typer.Option("--no-ui", help="Do not serve the dashboard.")]
Level = Annotated[LogLevel, option("--log-level", "How much to log.", "-l", case_sensitive=False)]
JsonLog = Annotated[bool, typer.Option("--json", help="Log JSON lines.")]
AllowedHost = Annotated[
    list[str] | None,
    list_option(
        "--allowed-host",
        "A name under which the server may be reached, besides local ones and addresses; may be repeated.",
        metavar="NAME",
    ),
]
FaultsGiven = Annotated[
    str | None,
    option(
        "--faults",
        "Let calls be lost, doubled, delayed and damaged, such as drop_answer=0.1,seed=7; see docs/testing.md.",
        metavar="FAULTS",
    ),
]
NoDiscovery = Annotated[bool, option("--no-discovery", "Do not look for apps at the usual ports of this machine.")]
SigningKey = Annotated[
    str | None,
    option("--signing-key", "What calls to apps are signed with (hexadecimal). Required.", metavar="KEY"),
]
SigningKeyFallback = Annotated[
    str | None, option("--signing-key-fallback", "A former key, accepted while keys are exchanged.", metavar="KEY")
]
EventKey = Annotated[
    list[str] | None,
    list_option("--event-key", "Who shows it may send events; may be repeated. Required.", metavar="KEY"),
]
DashboardToken = Annotated[
    str | None,
    option(
        "--dashboard-token",
        "Opens the dashboard, as the signing key does; 16 characters or more.",
        metavar="TOKEN",
    ),
]
