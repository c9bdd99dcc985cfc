"""What `GET /dev` says about how the server was started (executor.md 1.7). No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stepserve_core.executor.addresses import show_url

if TYPE_CHECKING:
    from stepserve_core.executor.server import ServerConfig


def start_options(config: ServerConfig, gateway_port: int) -> dict[str, Any]:
    """Return the options under their names in the official server. `tick` is 0: no queue is scanned.

    URLs are shown without query and credentials. What this server does not have is empty.
    """
    return {
        "urls": [show_url(url) for url in config.sdk_urls],
        "autodiscover": config.discover,
        "poll": config.is_polling,
        "poll_interval": config.poll_interval,
        "tick": 0,
        "retry_interval": config.retry_interval or 0,
        "queue_workers": config.concurrency,
        "require_keys": config.kind == "cloud",
        "connectGatewayHost": config.host,
        "connectGatewayPort": gateway_port,
        "persist": config.database is not None,
        "redis_uri": "",
        "postgres_uri": "",
    }
