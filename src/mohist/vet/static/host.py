"""Hosts and endpoints that a program names: addresses on the web, bare names, addresses by number."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from mohist.vet.static.meaning import host_of
from mohist.vet.static.text import Text

Form = Literal["url", "name", "address", "bare"]
"""`bare`: an address by number without scheme and port, which may as well be a version."""

_SCHEME = re.compile(rb"(?i)(?:https?|wss?|ftp|ssh|git|redis|amqps?|mongodb(?:\+srv)?|postgres(?:ql)?)\Z")
_REST = re.compile(
    rb"(?:[^\s/@\"'`<>]{1,80}@)?(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9][A-Za-z0-9._-]{0,252})(:\d{1,5})?([/?#][^\s\"'`<>\\\x00-\x20)\]}|]{0,120})?"
)
_NAME = re.compile(rb"""["'`]((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,6}[a-z]{2,16})(:\d{2,5})?(?=["'`/])""")
_NUMBERED = re.compile(rb"""["'`/@]((?:\d{1,3}\.){3}\d{1,3})(:\d{2,5})?(?=["'`/])""")
_SCHEME_CHARS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+"
_OBJECTS = (b"1.2.", b"1.3.", b"2.5.", b"2.16.", b"2.23.")
"""Roots of object identifiers (X.660)."""
_ADDRESS_MIN = 64
"""Versions and object identifiers are of smaller numbers; of four that name a machine one is larger nearly always."""
_BARE_MOST = 24
# What a bare name in a string must end in: keys of settings and of translations ("language.de") are written like names.
_NAMED = frozenset(
    ("com", "net", "org", "edu", "gov", "io", "ai", "dev", "cloud", "cn", "ru", "jp", "kr", "de", "fr", "uk", "eu", "nl", "br", "tw", "hk", "sg", "internal", "corp", "lan")
)  # fmt: skip
_TWO_LABELS = frozenset(("com", "net", "org", "edu", "gov", "io", "ai", "dev", "cn"))
_RESERVED = ("example", "test", "invalid", "localhost")
_RESERVED_NAMES = frozenset(("example.com", "example.org", "example.net"))
"""RFC 2606: names of examples, which nobody can have."""
# Identifiers that look like addresses and are never opened: namespaces of XML, schemas.
_IDENTIFIERS = frozenset(("www.w3.org", "schemas.xmlsoap.org", "schemas.microsoft.com", "schemas.openxmlformats.org", "ns.adobe.com", "purl.org", "xmlns.com", "json-schema.org", "schema.org"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Named:
    """One place where a host is named."""

    host: str
    """In lower case."""
    form: Form
    start: int
    end: int
    endpoint: str
    """The address as it stands, or the name with its port."""
    public_address: bool = False
    """Whether it is an address by number that is reachable over the internet."""


def hosts(text: Text) -> Iterator[Named]:
    """Every host that a text names; names of examples (RFC 2606) and identifiers of XML apart."""
    data = text.data
    at = data.find(b"://")
    while at >= 0:
        head = data[max(at - 12, 0) : at]
        scheme = head[len(head.rstrip(_SCHEME_CHARS)) :]
        match = _REST.match(data, at + 3)
        if match is not None and _SCHEME.search(scheme):
            host = match[1].decode("ascii").lower().rstrip(".")
            start = at - len(scheme)
            named = _numbered(host.strip("[]"), start, match.end(), data)
            if named is not None:
                yield named
            elif "." in host and host_of(host) and not _reserved(host):
                yield Named(
                    host, "url", start, match.end(), data[start : match.end()].decode("ascii", "replace").rstrip(".,;:")
                )
        at = data.find(b"://", at + 3)
    if text.language in ("prose", "native"):
        return
    for match in _NAME.finditer(data):
        host = match[1].decode("ascii")
        labels = host.split(".")
        if labels[-1] in (_TWO_LABELS if len(labels) == 2 else _NAMED) and not _reserved(host):
            yield Named(host, "name", match.start(1), match.end(), data[match.start(1) : match.end()].decode("ascii"))
    bare: list[Named] = []
    for match in _NUMBERED.finditer(data):
        named = _numbered(match[1].decode("ascii"), match.start(1), match.end(), data)
        if named is None or not named.public_address:
            continue
        if match[2]:
            yield named
        elif not match[1].startswith(_OBJECTS) and max(int(part) for part in match[1].split(b".")) >= _ADDRESS_MIN:
            bare.append(replace(named, form="bare"))
    # Many are a list of versions.
    if len(bare) <= _BARE_MOST:
        yield from bare


def _numbered(host: str, start: int, end: int, data: bytes) -> Named | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    # An address that ends in zero, or begins with one, is far more often a version or a mask.
    octets = host.split(".")
    public = (
        address.is_global
        and not address.is_multicast
        and octets[0] != "0"
        and not (len(octets) == 4 and octets[-1] == "0")
    )
    return Named(str(address), "address", start, end, data[start:end].decode("ascii", "replace"), public)


def _reserved(host: str) -> bool:
    labels = host.split(".")
    return labels[-1] in _RESERVED or ".".join(labels[-2:]) in _RESERVED_NAMES or host in _IDENTIFIERS
