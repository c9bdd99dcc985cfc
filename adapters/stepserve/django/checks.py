"""System checks: what is wrong with the setting STEPSERVE, and with what is served."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 - Django's name

from stepserve.django.configuration import (
    NAME,
    Problem,
    find_client_problems,
    find_problems,
    get_client,
    is_usable,
)
from stepserve.django.discovery import discover
from stepserve.django.served import refusals, served_apps


def check_setting(**_: Any) -> list[CheckMessage]:
    """Report what is wrong with the setting STEPSERVE."""
    return _errors(find_problems() or find_client_problems())


def check_served(**_: Any) -> list[CheckMessage]:
    """Report functions that were discovered and are served by no URL, and URLs that refuse to serve."""
    if not is_usable() or not getattr(settings, "ROOT_URLCONF", None):
        return []
    refused = refusals()
    if refused:
        return _errors(refused)
    found = discover()
    if found and not served_apps():
        hint = 'urlpatterns = [path("api/", include(stepserve.django.urls()))]'
        message = f"{len(found)} step functions were found, but no URL serves them."
        return [Warning(message, hint=hint, id="stepserve.W001")]
    if not getattr(settings, NAME, {}):
        return []
    app_id = get_client().app_id
    others = [function.id for function in found if function.app_id != app_id]
    if not others:
        return []
    message = f"urls() serves the app {app_id!r}, and so leaves out: {', '.join(others)}."
    return [Warning(message, hint="Make them with stepserve.django.get_client().", id="stepserve.W002")]


def check_deployment(**_: Any) -> list[CheckMessage]:
    """Report apps that everybody may call, in a deployment."""
    if not is_usable() or not getattr(settings, "ROOT_URLCONF", None):
        return []
    opened = [app.path for app in served_apps() if not app.client.is_production]
    if not opened:
        return []
    message = f"Everybody may call the step functions at {', '.join(opened)}: the client is in development mode."
    hint = "Leave INNGEST_DEV away, and set INNGEST_SIGNING_KEY."
    return [Warning(message, hint=hint, id="stepserve.W003")]


def _errors(problems: list[Problem]) -> list[CheckMessage]:
    return [Error(problem.message, hint=problem.hint, id=f"stepserve.E{problem.kind:03}") for problem in problems]
