"""The app config: `"stepserve.django"` in INSTALLED_APPS."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks

from stepserve.django.checks import check_deployment, check_served, check_setting
from stepserve.django.configuration import is_usable
from stepserve.django.discovery import discover


class StepserveConfig(AppConfig):
    """Discovers the functions of the installed apps, and adds the system checks."""

    name = "stepserve.django"
    label = "stepserve"
    verbose_name = "stepserve"

    def ready(self) -> None:
        """Import the functions, so that errors in their modules show when the project starts.

        Not while the setting is wrong: they would fail with it, and the check that explains it could not run.
        """
        checks.register(check_setting)
        checks.register(check_served, checks.Tags.urls)
        checks.register(check_deployment, checks.Tags.security, deploy=True)
        if is_usable():
            discover()
