"""Run the function `shop/inngest` on this machine, with the simulator of the platform.

`python examples/digital_ocean/run_locally.py`; HOST and PORT say where to listen.
"""

import os
import pathlib
import runpy

from stepserve.experimental.digital_ocean_simulator import FULL_PATH, DigitalOceanSimulator

FUNCTION = pathlib.Path(__file__).parent / "packages" / "shop" / "inngest" / "__main__.py"

if __name__ == "__main__":
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000"))
    simulator = DigitalOceanSimulator(runpy.run_path(str(FUNCTION))["main"])
    print(f"the function is at http://{host}:{port}{FULL_PATH}", flush=True)  # noqa: T201
    simulator.app.run(host, port)
