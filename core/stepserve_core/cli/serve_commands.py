"""`stepserve dev` and `stepserve start`: the embedded executor (design.md section 7, executor.md 1.2)."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepserve_core.cli import log_lines
from stepserve_core.cli.log_lines import LogLevel
from stepserve_core.cli.problems import Problem, UsageProblem
from stepserve_core.cli.requirements import require_server
from stepserve_core.cli.serve_options import SETTINGS, ServeCommand
from stepserve_core.cli.settings import check_urls, read_duration, values_of, variable_of
from stepserve_core.errors import ConfigurationError

if TYPE_CHECKING:
    from stepserve_core.executor.server import ServerConfig

_log = logging.getLogger(__name__)

_DEFAULT_PORT = 8288
_POLL_INTERVAL = 5.0
_GATEWAY_TIMEOUT = 600.0
_DEFAULT_DATABASE = "stepserve.db"


def _option(flag: str, help_text: str, *names: str, **settings: Any) -> Any:
    """An option whose variable is that of its name."""
    return typer.Option(flag, *names, help=help_text, envvar=variable_of(flag), **settings)


def _list_option(flag: str, help_text: str, *names: str, metavar: str) -> Any:
    """An option that may be repeated. Its variable is read by `values_of`: the library would split it at blanks."""
    text = f"{help_text}  [env var: {variable_of(flag)}, separated by commas]"
    return typer.Option(flag, *names, help=text, metavar=metavar)


_Host = Annotated[str, _option("--host", "Address to listen at; 0.0.0.0 for every interface.", metavar="ADDRESS")]
_Port = Annotated[
    int, _option("--port", "Port to listen at; 0 takes a free one.", "-p", min=0, max=65535, metavar="PORT")
]
_ConnectPort = Annotated[
    int | None,
    _option(
        "--connect-gateway-port",
        "Port for workers that connect; by default the one after --port.",
        min=0,
        max=65535,
        metavar="PORT",
    ),
]
_SdkUrls = Annotated[
    list[str] | None,
    _list_option("--sdk-url", "URL where an app serves its functions; may be repeated.", "-u", metavar="URL"),
]
_RetryInterval = Annotated[
    float,
    _option("--retry-interval", "Fixed seconds between attempts; 0 for growing ones.", min=0.0, metavar="SECONDS"),
]
_PollInterval = Annotated[
    float,
    _option("--poll-interval", "Seconds between two rounds of syncing apps; 0 for 5.", min=0.0, metavar="SECONDS"),
]
_QueueWorkers = Annotated[int, _option("--queue-workers", "Calls to apps under way at once.", min=1, metavar="COUNT")]
_GatewayAllow = Annotated[
    list[str] | None,
    _list_option(
        "--gateway-allow",
        "Where step.fetch and step.ai.infer may connect to: public, private, loopback, or a host, address or network;"
        " may be repeated. By default public, and in development private and loopback too.",
        metavar="PLACE",
    ),
]
_GatewayTimeout = Annotated[
    float,
    _option(
        "--gateway-timeout",
        "Seconds that a request of step.fetch or step.ai.infer may take.",
        min=1.0,
        metavar="SECONDS",
    ),
]
_BacklogLimit = Annotated[
    int | None,
    _option(
        "--backlog-limit",
        "Runs of one function that may wait to start; further ones are skipped. By default any number.",
        min=1,
        metavar="COUNT",
    ),
]
_Retention = Annotated[
    str | None,
    _option(
        "--retention",
        "Delete runs that ended, and events, longer ago than this, such as 30d. By default they are kept.",
        metavar="DURATION",
    ),
]
_NoUi = Annotated[bool, typer.Option("--no-ui", help="Do not serve the dashboard.")]
_Level = Annotated[LogLevel, _option("--log-level", "How much to log.", "-l", case_sensitive=False)]
_JsonLog = Annotated[bool, typer.Option("--json", help="Log JSON lines.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(cls=ServeCommand)(dev)
    app.command(cls=ServeCommand)(start)


def dev(
    context: typer.Context,
    sdk_url: _SdkUrls = None,
    host: _Host = "127.0.0.1",
    port: _Port = _DEFAULT_PORT,
    connect_gateway_port: _ConnectPort = None,
    db: Annotated[
        str | None, _option("--db", "Keep everything in this file. By default nothing is kept.", metavar="PATH")
    ] = None,
    persist: Annotated[bool, _option("--persist", f"Short for --db {_DEFAULT_DATABASE}.")] = False,
    no_poll: Annotated[bool, _option("--no-poll", "Do not sync apps again that are well.")] = False,
    no_discovery: Annotated[
        bool, _option("--no-discovery", "Do not look for apps at the usual ports of this machine.")
    ] = False,
    poll_interval: _PollInterval = _POLL_INTERVAL,
    retry_interval: _RetryInterval = 0.0,
    queue_workers: _QueueWorkers = 100,
    gateway_allow: _GatewayAllow = None,
    gateway_timeout: _GatewayTimeout = _GATEWAY_TIMEOUT,
    backlog_limit: _BacklogLimit = None,
    retention: _Retention = None,
    allowed_host: Annotated[
        list[str] | None,
        _list_option(
            "--allowed-host",
            "A name under which the server may be reached, besides local ones and addresses; may be repeated.",
            metavar="NAME",
        ),
    ] = None,
    no_ui: _NoUi = False,
    log_level: _Level = LogLevel.INFO,
    json_log: _JsonLog = False,
) -> None:
    """Run the executor for development: no keys, and nothing kept unless asked.

    Start your app with INNGEST_DEV=1, then for example: stepserve dev -u http://127.0.0.1:8000/api/inngest
    """
    database = db or (_DEFAULT_DATABASE if persist else None)
    kept = f"runs are kept in {database}" if database else "nothing is kept after it ends (--persist or --db keeps it)"
    config = _config_type()(
        kind="dev",
        sdk_urls=check_urls("--sdk-url", values_of("--sdk-url", sdk_url, os.environ)),
        host=host,
        port=port,
        connect_gateway_port=connect_gateway_port,
        database=database,
        poll=not no_poll,
        discover=not no_discovery,
        poll_interval=poll_interval or _POLL_INTERVAL,
        retry_interval=retry_interval or None,
        concurrency=queue_workers,
        gateway_allow=values_of("--gateway-allow", gateway_allow, os.environ),
        gateway_timeout=gateway_timeout,
        backlog_limit=backlog_limit,
        retention=read_duration("--retention", retention),
        allowed_hosts=values_of("--allowed-host", allowed_host, os.environ),
        dashboard=not no_ui,
    )
    log_lines.configure(log_level, as_json=json_log)
    _serve(context, config, f"for development; {kept}")


def start(
    context: typer.Context,
    signing_key: Annotated[
        str | None,
        _option("--signing-key", "What calls to apps are signed with (hexadecimal). Required.", metavar="KEY"),
    ] = None,
    signing_key_fallback: Annotated[
        str | None, _option("--signing-key-fallback", "A former key, accepted while keys are exchanged.", metavar="KEY")
    ] = None,
    event_key: Annotated[
        list[str] | None,
        _list_option("--event-key", "Who shows it may send events; may be repeated. Required.", metavar="KEY"),
    ] = None,
    sdk_url: _SdkUrls = None,
    host: _Host = "127.0.0.1",
    port: _Port = _DEFAULT_PORT,
    connect_gateway_port: _ConnectPort = None,
    db: Annotated[str, _option("--db", "The file that keeps everything.", metavar="PATH")] = _DEFAULT_DATABASE,
    poll_interval: _PollInterval = _POLL_INTERVAL,
    retry_interval: _RetryInterval = 0.0,
    queue_workers: _QueueWorkers = 100,
    gateway_allow: _GatewayAllow = None,
    gateway_timeout: _GatewayTimeout = _GATEWAY_TIMEOUT,
    backlog_limit: _BacklogLimit = None,
    retention: _Retention = None,
    dashboard_token: Annotated[
        str | None,
        _option(
            "--dashboard-token",
            "Opens the dashboard, as the signing key does; 16 characters or more.",
            metavar="TOKEN",
        ),
    ] = None,
    no_ui: _NoUi = False,
    log_level: _Level = LogLevel.INFO,
    json_log: _JsonLog = False,
) -> None:
    """Run the executor for production on one machine: durable, keys required.

    Apps need the same keys (INNGEST_SIGNING_KEY, INNGEST_EVENT_KEY) and INNGEST_BASE_URL, the URL of this server.
    """
    config = _config_type()(
        kind="cloud",
        signing_key=signing_key,
        signing_key_fallback=signing_key_fallback,
        event_keys=values_of("--event-key", event_key, os.environ),
        sdk_urls=check_urls("--sdk-url", values_of("--sdk-url", sdk_url, os.environ)),
        host=host,
        port=port,
        connect_gateway_port=connect_gateway_port,
        database=db or _DEFAULT_DATABASE,
        poll_interval=poll_interval or _POLL_INTERVAL,
        retry_interval=retry_interval or None,
        concurrency=queue_workers,
        gateway_allow=values_of("--gateway-allow", gateway_allow, os.environ),
        gateway_timeout=gateway_timeout,
        backlog_limit=backlog_limit,
        retention=read_duration("--retention", retention),
        dashboard_token=dashboard_token,
        dashboard=not no_ui,
    )
    log_lines.configure(log_level, as_json=json_log)
    _serve(context, config, f"for production; runs are kept in {db}")


def _config_type() -> type[ServerConfig]:
    require_server()
    from stepserve_core.executor.server import ServerConfig  # noqa: PLC0415 - after the look for its libraries

    return ServerConfig


def _serve(context: typer.Context, config: ServerConfig, purpose: str) -> None:
    from stepserve_core.executor import listening, server  # noqa: PLC0415 - as above

    def announce(url: str) -> None:
        if config.port and not url.endswith(f":{config.port}"):
            _log.warning("port %s is in use; apps find the server only with INNGEST_BASE_URL=%s", config.port, url)
        shows = "the dashboard is there too" if config.dashboard else "without a dashboard"
        _log.info("stepserve listens at %s, %s; %s", url, purpose, shows)

    if SETTINGS in context.meta:
        _log.info("settings are read from %s", context.meta[SETTINGS])
    try:
        server.run(config, announce)
    except listening.PortInUseError as error:
        raise Problem(str(error)) from None
    except ConfigurationError as error:
        raise UsageProblem(str(error)) from None
