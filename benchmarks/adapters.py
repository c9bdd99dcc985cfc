"""Measure what each adapter costs: a signed call, beside a bare route and, where there is one, the official adapter.

    python benchmarks/adapters.py [--rounds N] [--subjects floor,official,ours] [--json FILE]

Frameworks that are not installed are left out. What is measured, and how, is in benchmarks/README.md.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import sdk_call  # the path above must be set first; this finds the sources of a checkout
from benchmarks.sdk.rows.adapters import adapter_rows

if __name__ == "__main__":
    sdk_call.main({"adapters": adapter_rows}, str(__doc__))
