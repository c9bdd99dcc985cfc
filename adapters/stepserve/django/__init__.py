"""Serve functions from a Django project, under WSGI and under ASGI.

`serve` returns a URL pattern, `urls` a list for `include(…)`. With `"stepserve.django"` in INSTALLED_APPS, functions
are found in the modules `steps` and `functions` of every app, and `manage.py` has `stepserve_dev` and
`stepserve_sync`. Importing this needs no settings.

Bodies are read as a stream, which DATA_UPLOAD_MAX_MEMORY_SIZE does not limit: a call may have several megabytes.
Middleware that looks at `request.body` first brings that limit back.
"""

from stepserve.django.commits import send_on_commit
from stepserve.django.configuration import get_client
from stepserve.django.endpoints import endpoint
from stepserve.django.patterns import FRAMEWORK, serve, urls

__all__ = ["FRAMEWORK", "endpoint", "get_client", "send_on_commit", "serve", "urls"]
