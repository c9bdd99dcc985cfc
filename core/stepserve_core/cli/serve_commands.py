"""`stepserve dev` and `stepserve start`: the embedded executor (design.md section 7, executor.md 1.2)."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Annotated

import typer

from stepserve_core.cli import log_lines
from stepserve_core.cli.log_lines import LogLevel
from stepserve_core.cli.problems import Problem, UsageProblem
from stepserve_core.cli.requirements import require_server
from stepserve_core.cli.serve_flags import (
    AllowedHost,
    BacklogLimit,
    ConnectPort,
    DashboardToken,
    EventKey,
    FaultsGiven,
    GatewayAllow,
    GatewayTimeout,
    Host,
    JsonLog,
    Level,
    NoDiscovery,
    NoUi,
    PollInterval,
    Port,
    QueueWorkers,
    Retention,
    RetryInterval,
    SdkUrls,
    SigningKey,
    SigningKeyFallback,
    option,
)
from stepserve_core.cli.serve_options import SETTINGS, ServeCommand
from stepserve_core.cli.settings import check_urls, read_duration, values_of, variable_of
from stepserve_core.errors import ConfigurationError
from stepserve_core.faults import Faults

if TYPE_CHECKING:
    from stepserve_core.executor.server import ServerConfig

_log = logging.getLogger(__name__)

_DEFAULT_PORT = 8288
_POLL_INTERVAL = 5.0
_GATEWAY_TIMEOUT = 600.0
_DEFAULT_DATABASE = "stepserve.db"


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(cls=ServeCommand)(dev)
    app.command(cls=ServeCommand)(start)


def dev(
    context: typer.Context,
    sdk_url: SdkUrls = None,
    host: Host = "127.0.0.1",
    port: Port = _DEFAULT_PORT,
    connect_gateway_port: ConnectPort = None,
    db: Annotated[
        str | None, option("--db", "Keep everything in this file. By default nothing is kept.", metavar="PATH")
    ] = None,
    persist: Annotated[bool, option("--persist", f"Short for --db {_DEFAULT_DATABASE}.")] = False,
    no_poll: Annotated[bool, option("--no-poll", "Do not sync apps again that are well.")] = False,
    no_discovery: NoDiscovery = False,
    poll_interval: PollInterval = _POLL_INTERVAL,
    retry_interval: RetryInterval = 0.0,
    queue_workers: QueueWorkers = 100,
    gateway_allow: GatewayAllow = None,
    gateway_timeout: GatewayTimeout = _GATEWAY_TIMEOUT,
    backlog_limit: BacklogLimit = None,
    retention: Retention = None,
    allowed_host: AllowedHost = None,
    faults: FaultsGiven = None,
    no_ui: NoUi = False,
    log_level: Level = LogLevel.INFO,
    json_log: JsonLog = False,
) -> None:
    """Run the server for development, with its dashboard.

    No keys are needed, and nothing is kept unless asked. Start your
    app with INNGEST_DEV=1, then for example: stepserve dev -u http://127.0.0.1:8000/api/inngest
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
        faults=_read_faults(faults),
    )
    log_lines.configure(log_level, as_json=json_log)
    _serve(context, config, f"for development; {kept}")


def start(
    context: typer.Context,
    signing_key: SigningKey = None,
    signing_key_fallback: SigningKeyFallback = None,
    event_key: EventKey = None,
    sdk_url: SdkUrls = None,
    host: Host = "127.0.0.1",
    port: Port = _DEFAULT_PORT,
    connect_gateway_port: ConnectPort = None,
    db: Annotated[str, option("--db", "The file that keeps everything.", metavar="PATH")] = _DEFAULT_DATABASE,
    poll_interval: PollInterval = _POLL_INTERVAL,
    retry_interval: RetryInterval = 0.0,
    queue_workers: QueueWorkers = 100,
    gateway_allow: GatewayAllow = None,
    gateway_timeout: GatewayTimeout = _GATEWAY_TIMEOUT,
    backlog_limit: BacklogLimit = None,
    retention: Retention = None,
    dashboard_token: DashboardToken = None,
    no_ui: NoUi = False,
    log_level: Level = LogLevel.INFO,
    json_log: JsonLog = False,
) -> None:
    """Run the server for production: durable, with keys.

    It is for one machine. Apps need the same keys (INNGEST_SIGNING_KEY, INNGEST_EVENT_KEY) and INNGEST_BASE_URL, the
    URL of this server.
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


def _read_faults(text: str | None) -> Faults | None:
    """Return what goes wrong; None where nothing was said."""
    try:
        return Faults.parse(text) if text else None
    except ConfigurationError as error:
        raise UsageProblem(f"--faults (or the environment variable {variable_of('--faults')}): {error}") from None


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
