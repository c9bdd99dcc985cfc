"""How deep JSON may be nested. No I/O.

Decoders and encoders of JSON give up where the stack of their caller ends, which is not the same everywhere: what was
taken in with a short stack could not be read later with a long one. A fixed limit far below that is the same always.
"""

from __future__ import annotations

import re
from itertools import accumulate

from stepserve_core.executor import limits

_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BRACKETS = b"[]{}"
_OTHERS = bytes(set(range(256)) - set(_BRACKETS))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}

TOO_DEEP = f"nested deeper than {limits.JSON_DEPTH} levels"


def is_too_deep(content: bytes) -> bool:
    """Say whether JSON is nested deeper than `limits.JSON_DEPTH`. What is no JSON gets any answer."""
    if content.count(b"[") + content.count(b"{") <= limits.JSON_DEPTH:
        return False
    brackets = _TEXT.sub(b"", content).translate(None, _OTHERS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > limits.JSON_DEPTH
