"""Signing keys: their form, which is checked before anything is hashed with them (protocol.md section 2)."""

from __future__ import annotations

import re

from stepserve_core.errors import SigningKeyInvalidError

_PREFIX = r"^signkey-\w+-"
_HEX = r"(?:[0-9a-fA-F]{2})+"


def strip_prefix(key: str) -> str:
    """Return `key` without its `signkey-<env>-` prefix."""
    return re.sub(_PREFIX, "", key, flags=re.ASCII)


def check_key(key: str, source: str) -> str:
    """Return `key` if it is usable, else raise an error that names `source` and never the key.

    Raises:
        SigningKeyInvalidError: what follows the prefix is not hexadecimal text of even length.
    """
    if re.fullmatch(_HEX, strip_prefix(key)) is None:
        raise SigningKeyInvalidError(
            f"{source} is not a signing key: after the prefix 'signkey-<env>-' it must be hexadecimal text of even"
            " length. Copy the whole key; it looks like signkey-prod-0123abcd…"
        )
    return key
