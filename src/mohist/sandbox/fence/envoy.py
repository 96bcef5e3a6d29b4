"""Opens the fence's sockets inside a tree's network namespace, and hands them out. Standard library only.

Started as `python -I -S envoy.py NAMESPACE_FD CHANNEL_FD SPEC`: a process of its own, because a user namespace can't be
entered by a program with threads. It ends as soon as the sockets are handed over; the sockets stay in the namespace that
they were made in. The tree waits at its gate meanwhile, and can't see this process.

Every address is made local there (AnyIP), so that a program that dials whatever it likes reaches a listener of the fence
or nobody, and an AF_PACKET socket sees what it sends to ports where nobody listens.

Sources: include/uapi/linux/{nsfs,rtnetlink,if_packet,filter}.h; ip-route(8) on `local` routes (Linux 6.18).
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import json
import os
import socket
import struct
import sys
from contextlib import suppress
from typing import Final

_NS_GET_USERNS: Final = 0xB701
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000

_NLM_REQUEST_ACK: Final = 0x05
_NLM_CREATE: Final = 0x400
_RTM_NEWLINK, _RTM_NEWADDR, _RTM_NEWROUTE = 16, 20, 24
_NLMSG_ERROR: Final = 2
_IFF_UP: Final = 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_OIF: Final = 4
_RT_TABLE_LOCAL, _RTPROT_STATIC, _RT_SCOPE_HOST, _RTN_LOCAL = 255, 4, 254, 2
_IP_PKTINFO, _IPV6_RECVPKTINFO, _IPV6_FREEBIND = 8, 49, 78

_SO_ATTACH_FILTER: Final = 26
_ETH_P_ALL, _ETH_P_IP, _ETH_P_IPV6 = 3, 0x0800, 0x86DD
_PACKET_OUTGOING: Final = 4
_AD_PROTOCOL, _AD_PKTTYPE = 0xFFFFF000, 0xFFFFF004
_WATCH_BUFFER_BYTES: Final = 4 * 1024**2
_BACKLOG: Final = 256

HOME_ADDRESS: Final = "192.0.2.2"
"""Of lo besides 127.0.0.1 (TEST-NET-1, RFC 5737): with loopback addresses alone, getaddrinfo's AI_ADDRCONFIG finds nothing."""

# Classic BPF over packets without link header: what leaves towards a port that may have no listener. TCP packets that
# open a connection or refuse one, UDP but DNS, echo requests.
_LD, _LDH, _LDB, _LDX_IHL, _LDH_X, _LDB_X, _AND, _JEQ, _JSET, _RET = (
    0x20, 0x28, 0x30, 0xB1, 0x48, 0x50, 0x54, 0x15, 0x45, 0x06,
)  # fmt: skip


def _watch_filter() -> bytes:
    """The program as an array of struct sock_filter; names stand for jump targets until the end."""
    code: list[tuple[str, int, int, str, str]] = [
        ("", _LD, _AD_PKTTYPE, "", ""),
        ("", _JEQ, _PACKET_OUTGOING, "", "drop"),
        ("", _LD, _AD_PROTOCOL, "", ""),
        ("", _JEQ, _ETH_P_IPV6, "v6", ""),
        ("", _JEQ, _ETH_P_IP, "", "drop"),
        ("", _LDX_IHL, 0, "", ""),
        ("", _LDB, 9, "", ""),
        ("", _JEQ, socket.IPPROTO_TCP, "tcp4", ""),
        ("", _JEQ, socket.IPPROTO_UDP, "udp4", ""),
        ("", _JEQ, socket.IPPROTO_ICMP, "", "keep"),
        ("", _LDB_X, 0, "", ""),
        ("", _JEQ, 8, "keep", "drop"),
        ("tcp4", _LDB_X, 13, "", ""),
        ("flags", _JSET, 0x04, "keep", ""),
        ("", _AND, 0x12, "", ""),
        ("", _JEQ, 0x02, "keep", "drop"),
        ("udp4", _LDH_X, 0, "", ""),
        ("", _JEQ, 53, "drop", ""),
        ("", _LDH_X, 2, "", ""),
        ("", _JEQ, 53, "drop", "keep"),
        ("v6", _LDB, 6, "", ""),
        ("", _JEQ, socket.IPPROTO_TCP, "tcp6", ""),
        ("", _JEQ, socket.IPPROTO_UDP, "udp6", ""),
        ("", _JEQ, socket.IPPROTO_ICMPV6, "", "keep"),
        ("", _LDB, 40, "", ""),
        ("", _JEQ, 128, "keep", "drop"),
        ("udp6", _LDH, 40, "", ""),
        ("", _JEQ, 53, "drop", ""),
        ("", _LDH, 42, "", ""),
        ("", _JEQ, 53, "drop", "keep"),
        ("tcp6", _LDB, 53, "", ""),
        ("", _JSET, 0x04, "keep", ""),
        ("", _AND, 0x12, "", ""),
        ("", _JEQ, 0x02, "keep", "drop"),
        ("keep", _RET, 128, "", ""),
        ("drop", _RET, 0, "", ""),
    ]
    places = {name: index for index, (name, *_) in enumerate(code) if name}
    packed = b""
    for index, (_, operation, value, yes, no) in enumerate(code):
        jumps = [places[target] - index - 1 if target else 0 for target in (yes, no)]
        packed += struct.pack("=HBBI", operation, *jumps, value)
    return packed


def _enter(namespace_fd: int) -> None:
    """Joins the namespace; without rights on it, first the user namespace that owns it, where its maker has all."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace_fd, _CLONE_NEWNET) == 0:
        return
    if ctypes.get_errno() != errno.EPERM:
        raise OSError(ctypes.get_errno(), "setns")
    owner_fd = fcntl.ioctl(namespace_fd, _NS_GET_USERNS)
    for fd, kind in ((owner_fd, _CLONE_NEWUSER), (namespace_fd, _CLONE_NEWNET)):
        if libc.setns(fd, kind) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"setns {kind:#x}: {os.strerror(number)}")


class _Route:
    """Speaks rtnetlink."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._lo = socket.if_nametoindex("lo")

    def up(self) -> None:
        """Brings lo up."""
        self._ask(_RTM_NEWLINK, 0, struct.pack("=BxHiII", socket.AF_UNSPEC, 0, self._lo, _IFF_UP, _IFF_UP))

    def add_address(self, address: str) -> None:
        """Gives lo one more IPv4 address."""
        raw = socket.inet_aton(address)
        body = struct.pack("=BBBBi", socket.AF_INET, 32, 0, 0, self._lo)
        self._ask(_RTM_NEWADDR, _NLM_CREATE, body + _attribute(_IFA_LOCAL, raw) + _attribute(_IFA_ADDRESS, raw))

    def everything_local(self, family: int) -> None:
        """Makes every address of a family one of this namespace's own."""
        body = struct.pack(
            "=BBBBBBBBI", family, 0, 0, 0, _RT_TABLE_LOCAL, _RTPROT_STATIC, _RT_SCOPE_HOST, _RTN_LOCAL, 0
        )
        self._ask(_RTM_NEWROUTE, _NLM_CREATE, body + _attribute(_RTA_OIF, struct.pack("=i", self._lo)))

    def _ask(self, kind: int, flags: int, body: bytes) -> None:
        self._socket.send(struct.pack("=IHHII", 16 + len(body), kind, _NLM_REQUEST_ACK | flags, 1, 0) + body)
        answer = self._socket.recv(65536)
        if struct.unpack_from("=H", answer, 4)[0] == _NLMSG_ERROR:
            number = -struct.unpack_from("=i", answer, 16)[0]
            if number:
                raise OSError(number, f"rtnetlink {kind}: {os.strerror(number)}")


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value


def _listen(family: int, address: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.bind((address, port))
    made.listen(_BACKLOG)
    return made


def _name_server(family: int, address: str) -> socket.socket:
    made = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
        made.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)  # answers come from the address that was asked
    else:
        made.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    made.bind((address, 53))
    return made


def _watcher() -> socket.socket:
    """Sees packets from its first moment through the filter alone."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    program = _watch_filter()
    buffer = ctypes.create_string_buffer(program)
    made.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    )
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WATCH_BUFFER_BYTES)
    made.bind(("lo", _ETH_P_ALL))
    return made


def _open_all(proxy_port: int, ports: list[int]) -> list[tuple[str, socket.socket]]:
    route = _Route()
    route.up()
    route.add_address(HOME_ADDRESS)
    route.everything_local(socket.AF_INET)
    made = [("watch", _watcher())]
    families = [(socket.AF_INET, "0.0.0.0", "127.0.0.1")]  # noqa: S104 - of a namespace that nobody else is in
    with suppress(OSError):  # a kernel without IPv6
        route.everything_local(socket.AF_INET6)
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
        families.append((socket.AF_INET6, "::", "::1"))
    for family, every, loopback in families:
        made.append(("proxy", _listen(family, loopback, proxy_port)))
        made.append(("name", _name_server(family, every)))
        made.append(("name-stream", _listen(family, every, 53)))
        made += [("direct", _listen(family, every, port)) for port in ports]
    return made


def main() -> None:
    """Enters, opens, hands over; what failed is said on the same channel."""
    namespace_fd, channel_fd = int(sys.argv[1]), int(sys.argv[2])
    spec = json.loads(sys.argv[3])
    channel = socket.socket(fileno=channel_fd)
    try:
        _enter(namespace_fd)
        made = _open_all(spec["proxy_port"], spec["ports"])
    except OSError as error:
        channel.send(json.dumps({"error": str(error)}).encode())
        return
    rights = array.array("i", [each.fileno() for _, each in made])
    word = json.dumps({"kinds": [kind for kind, _ in made]}).encode()
    channel.sendmsg([word], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


# Imported it must do nothing.
if __name__ == "__main__":
    main()
