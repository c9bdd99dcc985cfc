"""`manage.py stepserve_dev`: the embedded executor beside `manage.py runserver`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from stepserve.django.served import DEV_ORIGIN, served_apps
from stepserve_core.cli.problems import Problem
from stepserve_core.cli.requirements import require_server
from stepserve_core.errors import ConfigurationError

_PORT = 8288


class Command(BaseCommand):
    """Serves the executor until Ctrl-C."""

    help = "Runs stepserve's executor for development, for the apps that this project's URLs serve."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the flags; they are those of `stepserve dev`."""
        parser.add_argument(
            "--origin", default=DEV_ORIGIN, help=f"Where the project listens; {DEV_ORIGIN} if not given."
        )
        parser.add_argument("--host", default="127.0.0.1", help="Address to listen at.")
        parser.add_argument("--port", type=int, default=_PORT, help="Port to listen at; 0 takes a free one.")
        parser.add_argument("--db", help="Keep everything in this file. By default nothing is kept.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve the executor."""
        apps = served_apps()
        if not apps:
            raise CommandError("no URL of this project serves functions; add stepserve.django.serve(…) or urls()")
        closed = [app.path for app in apps if app.client.is_production]
        if closed:
            raise CommandError(f"{', '.join(closed)}: in production mode; set INNGEST_DEV=1, here and for the project")
        try:
            require_server()
        except Problem as problem:
            raise CommandError(str(problem)) from None
        self._serve([options["origin"].rstrip("/") + app.path for app in apps], options)

    def _serve(self, urls: list[str], options: dict[str, Any]) -> None:
        from stepserve_core.executor import server  # noqa: PLC0415 - after the look for its libraries

        def announce(url: str) -> None:
            if options["port"] and not url.endswith(f":{options['port']}"):
                self.stderr.write(f"port {options['port']} is in use; the project needs INNGEST_BASE_URL={url}")
            self.stdout.write(f"stepserve listens at {url}, for {', '.join(urls)}")
            self.stdout.flush()

        config = server.ServerConfig(
            kind="dev", sdk_urls=urls, host=options["host"], port=options["port"], database=options["db"]
        )
        try:
            server.run(config, announce)
        except ConfigurationError as error:
            raise CommandError(str(error)) from None
