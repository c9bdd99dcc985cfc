"""A server in a process of its own, for tests that kill it: `python -m tests.executor.crash_server FILE PORT [PAUSE]`.

PAUSE is the time between attempts, in seconds.
"""

from __future__ import annotations

import sys

from stepserve_core.executor.server import ServerConfig, run


def announce(url: str) -> None:
    """Say on stdout that the server listens."""
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run(
        ServerConfig(
            port=int(sys.argv[2]),
            database=sys.argv[1],
            poll=False,
            retry_interval=float(sys.argv[3]) if len(sys.argv) > 3 else 0.05,
        ),
        on_started=announce,
    )
