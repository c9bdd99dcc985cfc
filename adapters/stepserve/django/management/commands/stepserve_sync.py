"""`manage.py stepserve_sync`: register the functions with the server, for example at the end of a deployment."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from stepserve.django.served import DEV_ORIGIN, ServedApp, served_apps
from stepserve_core.errors import Error


class Command(BaseCommand):
    """Registers what the URLs serve, without a request to the project: it need not run yet."""

    help = "Registers the step functions that this project's URLs serve with their server."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "--origin",
            help="Where the server reaches the project, such as https://shop.example, unless a serve origin is"
            f" configured; in development mode, {DEV_ORIGIN} if not given.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Register every app."""
        apps = served_apps()
        if not apps:
            raise CommandError("no URL of this project serves functions; add stepserve.django.serve(…) or urls()")
        for app in apps:
            url = _url(app, options["origin"])
            try:
                answer = app.handler.register(url)
            except Error as error:
                raise CommandError(f"{app.client.app_id}: {error}") from None
            changes = "its functions changed" if answer.get("modified") else "nothing changed"
            self.stdout.write(f"registered {app.client.app_id} at {app.handler.reported_url(url)}: {changes}")


def _url(app: ServedApp, origin: str | None) -> str:
    if origin is not None and "://" not in origin:
        raise CommandError(f"--origin must begin with http:// or https://, not {origin!r}")
    if origin is None and app.client.is_production and app.handler.serve_origin is None:
        raise CommandError(f"where is {app.client.app_id} reached? Pass --origin https://… or set INNGEST_SERVE_ORIGIN")
    return (origin or DEV_ORIGIN).rstrip("/") + app.path
