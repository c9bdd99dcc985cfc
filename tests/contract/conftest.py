"""Runs the contract suite, `stepserve.testing.contract`, over every framework."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import pytest

from stepserve.testing.contract.harness import Harness
from tests import regime
from tests.contract.faulty import NOT_UNDER, under_faults

HARNESSES = [
    # module below tests.frameworks, class, packages that it needs
    ("aiohttp", "Aiohttp", ("aiohttp",)),
    ("asgi", "ASGIOnHypercorn", ("hypercorn",)),
    ("asgi", "ASGIOnUvicorn", ("uvicorn",)),
    ("aws_lambda", "LambdaBehindHTTPAPI", ("uvicorn",)),
    ("aws_lambda", "LambdaBehindLoadBalancer", ("uvicorn",)),
    ("aws_lambda", "LambdaBehindRESTAPI", ("uvicorn",)),
    ("azure", "AzureFunctions", ("azure", "uvicorn")),
    ("bottle", "BottleOnWaitress", ("bottle", "waitress")),
    ("digital_ocean", "DigitalOceanFunctions", ("flask", "waitress")),
    ("django", "DjangoOnGunicorn", ("django", "gunicorn")),
    ("django", "DjangoOnUvicorn", ("django", "uvicorn")),
    ("django", "DjangoOnWaitress", ("django", "waitress")),
    ("falcon", "FalconOnGunicorn", ("falcon", "gunicorn")),
    ("falcon", "FalconOnUvicorn", ("falcon", "uvicorn")),
    ("falcon", "FalconOnWaitress", ("falcon", "waitress")),
    ("fastapi", "FastAPIOnUvicorn", ("fastapi", "uvicorn")),
    ("flask", "FlaskOnWaitress", ("flask", "waitress")),
    ("flask", "FlaskOnWerkzeug", ("flask",)),
    ("google_cloud", "GoogleCloudOnFunctionsFramework", ("functions_framework",)),
    ("http_server", "HTTPServer", ()),
    ("litestar", "LitestarOnUvicorn", ("litestar", "uvicorn")),
    ("pyramid", "PyramidOnWaitress", ("pyramid", "waitress")),
    ("quart", "QuartOnHypercorn", ("quart", "hypercorn")),
    ("quart", "QuartOnUvicorn", ("quart", "uvicorn")),
    ("robyn", "RobynOnItself", ("robyn",)),
    ("sanic", "SanicOnItself", ("sanic",)),
    ("starlette", "StarletteOnUvicorn", ("starlette", "uvicorn")),
    ("tornado", "Tornado", ("tornado",)),
    ("wsgi", "WSGIOnGunicorn", ("gunicorn",)),
    ("wsgi", "WSGIOnWaitress", ("waitress",)),
]


def _row(module: str, name: str, packages: tuple[str, ...]) -> Any:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    reason = f"not installed: {', '.join(missing)}"
    # Cases of one harness stay in one process: its servers are started once.
    marks = [pytest.mark.skipif(bool(missing), reason=reason), pytest.mark.xdist_group(name)]
    return pytest.param((module, name), id=name, marks=marks)


@pytest.fixture(scope="session", params=[_row(*row) for row in HARNESSES])
def harness(request: pytest.FixtureRequest) -> Harness:
    """Return a framework on its server."""
    module, name = request.param
    made: Harness = getattr(importlib.import_module(f"tests.frameworks.{module}"), name)()
    faults = regime.chosen(request.config)
    return made if faults is None else under_faults(made, faults)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests whose facts do not hold under the regime, with the reason."""
    kinds = regime.kinds_of(regime.chosen(config))
    for item in items:
        exempt, reason = NOT_UNDER.get(getattr(item, "originalname", item.name), ((), ""))
        if kinds.intersection(exempt):
            item.add_marker(pytest.mark.skip(reason=f"not under {', '.join(sorted(kinds))}: {reason}"))
