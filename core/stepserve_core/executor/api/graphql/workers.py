"""Connected workers as GraphQL shows them (executor.md 13.3): one entry for each app of a connection."""

from __future__ import annotations

from typing import Any, NamedTuple

from stepserve_core.executor import ids
from stepserve_core.executor.connect.workers import Connection, Workers
from stepserve_core.executor.moments import parse_date, to_rfc3339


class Worker(NamedTuple):
    """An app of a connection."""

    connection: Connection
    app_name: str

    @property
    def app_id(self) -> str:
        """The id of the app."""
        return ids.app_id(self.app_name)

    @property
    def cursor(self) -> str:
        """The place in lists: later connections have greater ids."""
        return f"{self.connection.id}:{self.app_name}"

    def is_wanted(self, given: dict[str, Any]) -> bool:
        """Say whether a filter lets it through."""
        connected_at = self.connection.connected_at
        return (
            (not given.get("appIDs") or self.app_id in given["appIDs"])
            and (not given.get("status") or self.connection.status.name in given["status"])
            and (not given.get("from") or connected_at >= parse_date(given["from"]))
            and (not given.get("until") or connected_at < parse_date(given["until"]))
        )

    def fields(self) -> dict[str, Any]:
        """Return the fields, without the app itself."""
        one = self.connection
        return {
            "id": one.id,
            "gatewayId": None,
            "instanceId": one.instance_id,
            "workerIp": one.address,
            "maxWorkerConcurrency": one.max_concurrency,
            "appName": self.app_name,
            "appID": self.app_id,
            "connectedAt": to_rfc3339(one.connected_at),
            "lastHeartbeatAt": to_rfc3339(one.last_heartbeat_at),
            "disconnectedAt": None,
            "status": one.status.name,
            "sdkLang": one.sdk[0],
            "sdkVersion": one.sdk[1],
            "functionCount": sum(name == self.app_name for name in one.apps.values()),
            "cpuCores": one.system.cpu_cores,
            "memBytes": one.system.mem_bytes,
            "os": one.system.os,
        }


def list_workers(workers: Workers) -> list[Worker]:
    """Return the apps of every connection, the newest connection first."""
    found = [Worker(connection, name) for connection in workers.all() for name in connection.app_names]
    return sorted(found, key=lambda one: one.cursor, reverse=True)
