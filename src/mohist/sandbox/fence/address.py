"""Hosts as programs write them, and what kind of address one is. Pure."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, Literal

from mohist.sandbox.errors import FencedError

Kind = Literal["public", "private", "metadata"]
IPAddress = IPv4Address | IPv6Address

_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
# What resolvers take for an IPv4 address besides the usual notation (inet_aton(3); WHATWG URL, "ends in a number").
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_NAME_LENGTH: Final = 253

METADATA: Final = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Google, Azure, OpenStack, DigitalOcean, Oracle
        "fd00:ec2::254",  # AWS by IPv6
        "fd20:ce::254",  # Google by IPv6
        "169.254.170.2",  # AWS ECS credentials
        "169.254.170.23",  # AWS EKS Pod Identity
        "fd00:ec2::23",
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure's wire server, in a public range
        "192.0.0.192",  # Oracle's old one
        "169.254.42.42",  # Scaleway
    )
)
"""Services that hand a machine's own credentials to whoever asks from it."""
_NAT64: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_SPECIAL: Final = (
    IPv4Network("0.0.0.0/8"), IPv4Network("100.64.0.0/10"), IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"),
    IPv4Network("198.18.0.0/15"), IPv4Network("240.0.0.0/4"), IPv6Network("100::/64"), IPv6Network("2001::/23"),
    IPv6Network("fec0::/10"), IPv6Network("64:ff9b:1::/48"),
)  # fmt: skip


def parse_host(text: str) -> str:
    """A name in lower case without its trailing dot, or an address in its usual notation (IPv6 with or without brackets).

    Raises FencedError `bad-name` for whatever another program could read as somebody else: other notations of an
    address, user parts, NUL and all that is no host name by RFC 1123 (underscores aside).
    """
    if not text.isascii():
        raise _bad(text)  # before anything is folded: some letters of other scripts fold into ASCII
    lowered = text.lower()
    bare = lowered[1:-1] if lowered.startswith("[") and lowered.endswith("]") else lowered
    if ":" in bare:
        return str(_address(IPv6Address, bare, text))
    if bare is not lowered:
        raise _bad(text)
    name = lowered.removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        if name != lowered:
            raise _bad(text)
        return str(_address(IPv4Address, name, text))
    if len(name) > _NAME_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
        raise _bad(text)
    return name


def parse_port(text: str) -> int:
    """1 to 65535, digits alone. Raises FencedError `bad-port`."""
    if not re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) or not 0 < int(text) < 65536:
        raise FencedError("bad-port", f"{text[:20]!r} is no port.")
    return int(text)


def split_authority(text: str, default_port: int | None = None) -> tuple[str, int]:
    """Host and port of `host:port`. Raises FencedError."""
    found = re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([^:]*))?", text)
    if found is None or (found[2] is None and default_port is None):
        raise _bad(text)
    host = parse_host(found[1])
    return host, default_port if found[2] is None and default_port is not None else parse_port(found[2])


def address_of(host: str) -> IPAddress | None:
    """The address that a host from `parse_host` is; None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def kind_of(address: IPAddress) -> Kind:
    """What an address leads to, through all that wraps an IPv4 address into an IPv6 one."""
    inner = _embedded(address)
    kinds = {_plain_kind(each) for each in (address, *inner)}
    if "metadata" in kinds:
        return "metadata"
    if inner and isinstance(address, IPv6Address) and (address.ipv4_mapped or address in _NAT64[0]):
        return _plain_kind(inner[0])  # nothing but that IPv4 address
    return "private" if "private" in kinds else "public"


def _plain_kind(address: IPAddress) -> Kind:
    if address in METADATA:
        return "metadata"
    if address.is_multicast or not address.is_global:
        return "private"
    return "private" if any(address.version == net.version and address in net for net in _SPECIAL) else "public"


def _embedded(address: IPAddress) -> tuple[IPv4Address, ...]:
    """IPv4 addresses inside: mapped, compatible, NAT64, 6to4, Teredo (server and client)."""
    if isinstance(address, IPv4Address):
        return ()
    low = IPv4Address(int(address) & 0xFFFFFFFF)
    found: list[IPv4Address] = []
    if address.ipv4_mapped or any(address in net for net in _NAT64) or int(address) >> 32 == 0:
        found.append(low)
    if address.sixtofour:
        found.append(address.sixtofour)
    if address.teredo:
        found += address.teredo
    return tuple(found)


def _address(kind: type[IPv4Address | IPv6Address], text: str, said: str) -> IPAddress:
    try:
        made = kind(text)
    except ValueError:
        raise _bad(said) from None
    if isinstance(made, IPv6Address) and made.scope_id is not None:
        raise _bad(said)
    return made


def _bad(text: str) -> FencedError:
    return FencedError("bad-name", f"{text[:80]!r} is no host name and no address in its usual notation.")
