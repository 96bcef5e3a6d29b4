"""Packets to ports where nobody listens, as the AF_PACKET socket of `envoy.py` sees them. Pure."""

from __future__ import annotations

import socket
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from mohist.sandbox.fence.envoy import HOME_ADDRESS

_RST = 0x04
_REMEMBERED: Final = 8192


@dataclass(frozen=True, slots=True)
class Seen:
    """One packet that nobody inside or outside takes."""

    host: str
    port: int
    """0 where the protocol has none."""
    protocol: str


@dataclass(frozen=True, slots=True)
class _Packet:
    source: str
    target: str
    protocol: int
    ports: tuple[int, int]
    flags: int
    sequence: int


class Watch:
    """Tells what is news.

    A connection within the tree (loopback) is the tree's own affair, unless it is refused: then a program looked for a
    service that the machine might have had.
    """

    def __init__(self, taken: frozenset[int], proxy_port: int) -> None:
        self._taken = taken
        self._proxy_port = proxy_port
        self._seen: OrderedDict[tuple[object, ...], None] = OrderedDict()
        self._waiting: OrderedDict[tuple[object, ...], None] = OrderedDict()

    def look(self, packet: bytes) -> Seen | None:
        """What this packet says, if it says something new."""
        read = _read(packet)
        if read is None:
            return None
        own = _is_own(read.target)
        if read.protocol == socket.IPPROTO_TCP:
            return self._look_at_tcp(read, own)
        if own:
            return None
        name = {socket.IPPROTO_UDP: "udp", socket.IPPROTO_ICMP: "icmp", socket.IPPROTO_ICMPV6: "icmp"}
        port = read.ports[1] if read.protocol == socket.IPPROTO_UDP else 0
        key = (read.target, read.protocol, *(read.ports if port else ()))
        return Seen(read.target, port, name.get(read.protocol, f"ip {read.protocol}")) if self._new(key) else None

    def _look_at_tcp(self, read: _Packet, own: bool) -> Seen | None:
        source_port, port = read.ports
        if read.flags & _RST:
            if read.sequence:  # the end of a connection that there was
                return None
            key = (read.target, port, read.source, source_port)
            if self._waiting.pop(key, ...) is None:
                return Seen(read.source, source_port, "tcp")
            return None
        if port in self._taken or (own and port == self._proxy_port):
            return None
        key = (read.source, source_port, read.target, port)
        if own:
            self._waiting[key] = None
            if len(self._waiting) > _REMEMBERED:
                self._waiting.popitem(last=False)
            return None
        return Seen(read.target, port, "tcp") if self._new(key) else None

    def _new(self, key: tuple[object, ...]) -> bool:
        """False for a repetition: of a handshake, or a datagram of the same flow."""
        if key in self._seen:
            self._seen.move_to_end(key)
            return False
        self._seen[key] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return True


def _is_own(address: str) -> bool:
    return address == HOME_ADDRESS or ip_address(address).is_loopback


def _read(packet: bytes) -> _Packet | None:
    if len(packet) < 20:
        return None
    if packet[0] >> 4 == 4:
        source, target = str(IPv4Address(packet[12:16])), str(IPv4Address(packet[16:20]))
        protocol, inner = packet[9], packet[(packet[0] & 15) * 4 :]
    elif len(packet) >= 40:
        source, target = str(IPv6Address(packet[8:24])), str(IPv6Address(packet[24:40]))
        protocol, inner = packet[6], packet[40:]
    else:
        return None
    if protocol == socket.IPPROTO_TCP and len(inner) < 14:
        return None
    ports = (0, 0)
    if protocol in (socket.IPPROTO_TCP, socket.IPPROTO_UDP) and len(inner) >= 4:
        ports = int.from_bytes(inner[:2], "big"), int.from_bytes(inner[2:4], "big")
    tcp = protocol == socket.IPPROTO_TCP
    sequence = int.from_bytes(inner[4:8], "big") if tcp else 0
    return _Packet(source, target, protocol, ports, inner[13] if tcp else 0, sequence)
