"""Where the gateway may connect to: an allow-list, and addresses that no list of names opens. No I/O.

URLs of gateway steps often hold what users typed. Without a policy anybody who can choose one would reach what
only this machine may see: its own services, and the metadata service of the cloud it runs in, which hands out
credentials. So every address is looked at after the name was resolved, and for every hop of a redirect.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

import msgspec

from stepserve_core.errors import ConfigurationError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PUBLIC, PRIVATE, LOOPBACK, FORBIDDEN = "public", "private", "loopback", "forbidden"
WORDS = (PUBLIC, PRIVATE, LOOPBACK)
DEV_ENTRIES, CLOUD_ENTRIES = WORDS, (PUBLIC,)
"""What may be reached where nothing else is said: everything but link-local addresses in dev, the internet else."""


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


# The first kind that fits counts. Forbidden are link-local addresses, the metadata services of clouds that stand
# elsewhere (Alibaba, Oracle, Azure, AWS over IPv6), and what is no address of a single host on the internet.
_KINDS: tuple[tuple[str, tuple[Network, ...]], ...] = (
    (
        FORBIDDEN,
        _networks("169.254.0.0/16", "fe80::/10", "100.100.100.200/32", "192.0.0.0/24", "168.63.129.16/32")
        + _networks("fd00:ec2::/32", "0.0.0.0/8", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24")
        + _networks("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "ff00::/8", "2001:db8::/32", "100::/64")
        + _networks("2001::/32", "2002::/16", "64:ff9b:1::/48", "fec0::/10", "::/128"),
    ),
    (LOOPBACK, _networks("127.0.0.0/8", "::1/128")),
    (PRIVATE, _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")),
)
_IPV4_INSIDE = _networks("::ffff:0:0/96", "64:ff9b::/96", "::/96")
"""IPv6 addresses whose last 32 bits are an IPv4 address, to which a system or a router may send them."""


class GatewayRefusedError(Exception):
    """A request that the gateway does not make, now or later: trying again would end the same."""


class DestinationRefusedError(GatewayRefusedError):
    """The policy does not let the gateway connect there."""


class _Entry(msgspec.Struct, frozen=True):
    """One entry of an allow-list: a host name or a network, perhaps with a port."""

    name: str = ""
    network: Network | None = None
    port: int | None = None


class GatewayPolicy:
    """What the gateway may connect to.

    Args:
        entries: words (`public`, `private`, `loopback`), host names (`api.example.com`, `*.example.com`), addresses
            or networks (`10.1.0.0/16`); all but the words may have a port behind a colon. What no entry names is
            refused. A name covers the loopback and private addresses it resolves to. Link-local addresses and
            those of metadata services are only reached where an address or a network of the list covers them.

    Raises:
        ConfigurationError: an entry is none of these.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        texts = [text.strip().lower() for text in entries]
        self._words = frozenset(text for text in texts if text in WORDS)
        self._entries = [_parse_entry(text) for text in texts if text not in WORDS]

    def check(self, host: str, port: int, addresses: Sequence[str]) -> None:
        """Accept a destination if every one of its addresses may be reached.

        Raises:
            DestinationRefusedError: one may not, or there is none.
        """
        named = any(_covers_name(entry, host.lower().rstrip("."), port) for entry in self._entries)
        for text in addresses:
            address = ipaddress.ip_address(text.partition("%")[0])
            kind = kind_of(address)
            if not self._allows(address, kind, port, named=named):
                what = f"{host}:{port}" if host == text else f"{host}:{port} (at {text})"
                raise DestinationRefusedError(f"the gateway may not connect to {what}: {_reason(kind)}")
        if not addresses:
            raise DestinationRefusedError(f"{host} has no address")

    def _allows(self, address: Address, kind: str, port: int, *, named: bool) -> bool:
        if any(_covers_address(entry, address, port) for entry in self._entries):
            return True
        return kind != FORBIDDEN and (named or kind in self._words)


def kind_of(address: Address) -> str:
    """Return `public`, `private`, `loopback` or `forbidden`."""
    for kind, networks in _KINDS:
        if any(address in network for network in networks):
            return kind
    inner = _ipv4_inside(address)
    return PUBLIC if inner is None else kind_of(inner)


def _ipv4_inside(address: Address) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv6Address) and any(address in network for network in _IPV4_INSIDE):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


def _reason(kind: str) -> str:
    if kind == FORBIDDEN:
        return "link-local addresses and metadata services are closed to it"
    return f"it is a {kind} address that the allow-list does not cover (--gateway-allow)"


def _covers_name(entry: _Entry, host: str, port: int) -> bool:
    if not entry.name or entry.port not in (None, port):
        return False
    return host.endswith(entry.name[1:]) if entry.name.startswith("*.") else host == entry.name


def _covers_address(entry: _Entry, address: Address, port: int) -> bool:
    return entry.network is not None and entry.port in (None, port) and address in entry.network


def _parse_entry(text: str) -> _Entry:
    network = _parse_network(text)
    if network is not None:
        return _Entry(network=network)
    host, colon, port_text = text.rpartition(":")
    if not colon:
        host, port = text, None
    elif port_text.isascii() and port_text.isdigit() and 0 < int(port_text) < 65536:
        port = int(port_text)
    else:
        raise _wrong(text)
    network = _parse_network(host.removeprefix("[").removesuffix("]"))
    if network is not None:
        return _Entry(network=network, port=port)
    labels = host.removeprefix("*.").split(".")
    if not all(label and label.replace("-", "").replace("_", "").isalnum() for label in labels):
        raise _wrong(text)
    return _Entry(name=host, port=port)


def _parse_network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def _wrong(text: str) -> ConfigurationError:
    words = ", ".join(WORDS)
    return ConfigurationError(
        f"--gateway-allow (INNGEST_GATEWAY_ALLOW): {text!r} is neither one of {words}, nor a host name, an address"
        " or a network, perhaps with a port"
    )
