"""Where the gateway may connect to."""

from __future__ import annotations

import pytest

from stepserve_core.errors import ConfigurationError
from stepserve_core.executor.gateway_policy import (
    CLOUD_ENTRIES,
    DEV_ENTRIES,
    DestinationRefusedError,
    GatewayPolicy,
)

PUBLIC = "93.184.215.14"
METADATA = "169.254.169.254"

ALLOWED: list[tuple[tuple[str, ...], str, int, tuple[str, ...]]] = [
    (CLOUD_ENTRIES, "example.com", 443, (PUBLIC, "2606:2800:21f:cb07:6820:80da:af6b:8b2c")),
    (DEV_ENTRIES, "localhost", 80, ("127.0.0.1", "::1")),
    (DEV_ENTRIES, "db", 80, ("10.0.0.7",)),
    (("localhost:8000",), "localhost", 8000, ("127.0.0.1",)),
    (("intern.example",), "INTERN.example.", 80, ("10.1.2.3",)),
    (("*.example.com",), "api.example.com", 443, (PUBLIC,)),
    (("10.1.0.0/16",), "10.1.9.9", 80, ("10.1.9.9",)),
    (("10.1.2.3:80",), "intern", 80, ("10.1.2.3",)),
    (("[fd12::1]:80",), "intern", 80, ("fd12::1",)),
    (("169.254.170.2",), "credentials", 80, ("169.254.170.2",)),
]

REFUSED: list[tuple[tuple[str, ...], str, int, tuple[str, ...]]] = [
    (CLOUD_ENTRIES, "localhost", 80, ("127.0.0.1",)),
    (CLOUD_ENTRIES, "127.8.8.8", 80, ("127.8.8.8",)),
    (CLOUD_ENTRIES, "x", 80, ("::1",)),
    (CLOUD_ENTRIES, "x", 80, ("10.0.0.7",)),
    (CLOUD_ENTRIES, "x", 80, ("100.64.0.1",)),
    (CLOUD_ENTRIES, "x", 80, ("fd12::1",)),
    (CLOUD_ENTRIES, "x", 80, ("::ffff:127.0.0.1",)),
    (CLOUD_ENTRIES, "x", 80, ("64:ff9b::7f00:1",)),
    (CLOUD_ENTRIES, "x", 80, ("::7f00:1",)),
    (CLOUD_ENTRIES, "both", 80, (PUBLIC, "127.0.0.1")),
    (CLOUD_ENTRIES, "nobody", 80, ()),
    (DEV_ENTRIES, "x", 80, (METADATA,)),
    (DEV_ENTRIES, "x", 80, ("::ffff:169.254.169.254",)),
    (DEV_ENTRIES, "x", 80, ("fe80::1%eth0",)),
    (DEV_ENTRIES, "x", 80, ("fd00:ec2::254",)),
    (DEV_ENTRIES, "x", 80, ("100.100.100.200",)),
    (DEV_ENTRIES, "x", 80, ("0.0.0.0",)),
    (DEV_ENTRIES, "x", 80, ("224.0.0.1",)),
    (DEV_ENTRIES, "x", 80, ("2002:7f00:1::",)),
    (("metadata.google.internal",), "metadata.google.internal", 80, (METADATA,)),
    (("localhost:8000",), "localhost", 8001, ("127.0.0.1",)),
    (("*.example.com",), "example.com", 443, (PUBLIC,)),
    (("*.example.com",), "badexample.com", 443, (PUBLIC,)),
    (("api.example.com",), "other.example.com", 443, (PUBLIC,)),
    (("10.1.0.0/16",), "10.2.0.1", 80, ("10.2.0.1",)),
    (("10.1.2.3:80",), "intern", 81, ("10.1.2.3",)),
]


@pytest.mark.parametrize(("entries", "host", "port", "addresses"), ALLOWED)
def test_a_destination_that_an_entry_covers_is_allowed(
    entries: tuple[str, ...], host: str, port: int, addresses: tuple[str, ...]
) -> None:
    outcome = GatewayPolicy(entries).check(host, port, addresses)  # type: ignore[func-returns-value] # it raises or not

    assert outcome is None


@pytest.mark.parametrize(("entries", "host", "port", "addresses"), REFUSED)
def test_a_destination_is_refused_if_one_of_its_addresses_is_not_covered(
    entries: tuple[str, ...], host: str, port: int, addresses: tuple[str, ...]
) -> None:
    with pytest.raises(DestinationRefusedError, match=host):
        GatewayPolicy(entries).check(host, port, addresses)


@pytest.mark.parametrize(
    "entry", ["", "https://example.com", "example.com:0", "example.com:http", "a..b", "*", "10.0.0.0/33", "a/b", "a b"]
)
def test_an_entry_that_is_none_is_refused_with_its_text(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="--gateway-allow"):
        GatewayPolicy(["public", entry])
