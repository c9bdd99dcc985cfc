"""The contract that every adapter keeps, as a test suite; a new adapter is proved with a harness and two lines.

    from stepserve.testing.contract import *
    from stepserve.testing.contract.harness import Harness


    class ToyOnWaitress(Harness): ...  # the framework on its server; see Harness


    @pytest.fixture(scope="session")
    def harness() -> Harness:
        return ToyOnWaitress()

pytest then runs every test of the suite over that harness, with `def` and with `async def` functions.
"""

import pkgutil

import pytest

# Failed assertions show their values, also where pytest would not look for them.
pytest.register_assert_rewrite(*[f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)])

from stepserve.testing.contract.fixtures import *  # noqa: F403, E402
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
