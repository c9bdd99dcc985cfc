"""The contract that every adapter keeps, as a test suite. With a harness and a fixture, an adapter is proved:

    from stepserve.testing import servers
    from stepserve.testing.contract import *

    class ToyOnWaitress(Harness):
        FRAMEWORK = "toy"
        CALLS_FROM_LOOP = False

        def build(self, client, functions, before_request, **options):
            app = toy.App(before_request)
            toy_steps.serve(app, client, functions, **options)
            return app

        def serve(self, app):
            return servers.waitress(app)

    @pytest.fixture(scope="session")
    def harness():
        return ToyOnWaitress()

pytest then runs every test of the suite over that harness, with `def` and with `async def` functions.
Where the framework differs from others, the harness says so: see `Harness`.
"""

import pkgutil

import pytest

# Failed assertions show their values, also where pytest would not look for them: before the imports (E402).
pytest.register_assert_rewrite(*[f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)])

from stepserve.testing.contract.fixtures import *  # noqa: F403, E402
from stepserve.testing.contract.harness import Harness as Harness  # noqa: E402
from stepserve.testing.contract.test_bodies import *  # noqa: F403, E402
from stepserve.testing.contract.test_call import *  # noqa: F403, E402
from stepserve.testing.contract.test_colours import *  # noqa: F403, E402
from stepserve.testing.contract.test_disconnects import *  # noqa: F403, E402
from stepserve.testing.contract.test_failures import *  # noqa: F403, E402
from stepserve.testing.contract.test_inspection import *  # noqa: F403, E402
from stepserve.testing.contract.test_misuse import *  # noqa: F403, E402
from stepserve.testing.contract.test_mounting import *  # noqa: F403, E402
from stepserve.testing.contract.test_proxies import *  # noqa: F403, E402
from stepserve.testing.contract.test_refusals import *  # noqa: F403, E402
from stepserve.testing.contract.test_sending import *  # noqa: F403, E402
from stepserve.testing.contract.test_streaming import *  # noqa: F403, E402
from stepserve.testing.contract.test_sync import *  # noqa: F403, E402
