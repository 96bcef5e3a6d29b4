"""Names inside the fence: each gets an address of its own, so that a plain connection is known by name. Pure.

Nothing is resolved for a question: that happens once, outside, when a connection to the name is let through.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from typing import Final

from mohist.sandbox.errors import FencedError
from mohist.sandbox.fence.address import parse_host

_FIRST: Final = int(IPv4Address("198.18.0.1"))
"""The range for tests of networks (RFC 2544): outside, nobody has these addresses."""
_ROOM: Final = 131_000
_A, _PTR, _AAAA, _ANY, _IN = 1, 12, 28, 255, 1
_TYPES: Final = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 64: "SVCB", 65: "HTTPS"}  # fmt: skip
_NO_ERROR, _MALFORMED, _NO_SUCH_NAME, _NOT_IMPLEMENTED = 0, 1, 3, 4
_TTL_S: Final = 600
_QUESTION_BYTES: Final = 512
_LOCAL: Final = {"localhost": "127.0.0.1", "sandbox": "127.0.0.1"}


class NameTable:
    """Gives names addresses, the same one for the fence's life."""

    def __init__(self, most: int) -> None:
        self._most = min(most, _ROOM)
        self._addresses: dict[str, str] = dict(_LOCAL)
        self._names: dict[str, str] = {}

    def address(self, name: str) -> str:
        """Raises FencedError `names` when there are too many."""
        if name not in self._addresses:
            if len(self._names) >= self._most:
                raise FencedError("names", f"more than {self._most} names")
            made = str(IPv4Address(_FIRST + len(self._names)))
            self._addresses[name], self._names[made] = made, name
        return self._addresses[name]

    def name(self, address: str) -> str | None:
        """Whose address it is."""
        return self._names.get(address)


@dataclass(frozen=True, slots=True)
class Question:
    """One DNS question."""

    number: int
    flags: int
    host: str
    """As asked, in lower case without trailing dot; bytes that names don't have are written as `\\NNN`."""
    kind: int
    raw: bytes
    """The question's section."""

    @property
    def kind_name(self) -> str:
        return _TYPES.get(self.kind, f"TYPE{self.kind}")


def parse_question(message: bytes) -> Question | None:
    """The question of a DNS message; None for what is no question at all, and gets no answer."""
    if not 12 < len(message) <= _QUESTION_BYTES:
        return None
    number, flags, questions = struct.unpack_from(">HHH", message)
    if flags & 0x8000 or questions != 1:
        return None
    labels, place = [], 12
    while True:
        if place >= len(message):
            return None
        length = message[place]
        place += 1
        if not length:
            break
        if length > 63 or place + length > len(message):
            return None
        labels.append(_readable(message[place : place + length]))
        place += length
    if place + 4 > len(message):
        return None
    kind, _ = struct.unpack_from(">HH", message, place)
    return Question(number, flags, ".".join(labels).lower(), kind, message[12 : place + 4])


def answer(question: Question, table: NameTable, allow: Callable[[str], None]) -> tuple[bytes, str]:
    """The message to send back, and the address in it, if any.

    Args:
        allow: raises FencedError for a name that is not to be reached; it is answered as if it did not exist.
    """
    if question.flags & 0x7800:
        return _message(question, _NOT_IMPLEMENTED), ""
    if question.kind == _PTR:
        return _message(question, _NO_SUCH_NAME), ""
    host = parse_host(question.host)
    if host in _LOCAL:
        address = _LOCAL[host]
    else:
        try:
            ip_address(host)
        except ValueError:
            pass
        else:
            raise FencedError("bad-name", "An address was asked for as if it were a name.")
        allow(host)
        address = table.address(host)
    if question.kind not in (_A, _ANY):
        return _message(question, _NO_ERROR), ""  # the name is there, but has nothing of this kind
    return _message(question, _NO_ERROR, address), address


def refusal(question: Question) -> bytes:
    """The answer to a name that is not to be reached."""
    return _message(question, _NO_SUCH_NAME)


def _message(question: Question, code: int, address: str = "") -> bytes:
    flags = 0x8080 | (question.flags & 0x7900) | code  # an answer, recursion available, opcode and RD as asked
    head = struct.pack(">HHHHHH", question.number, flags, 1, 1 if address else 0, 0, 0)
    record = b""
    if address:
        record = struct.pack(">HHHIH", 0xC00C, _A, _IN, _TTL_S, 4) + IPv4Address(address).packed
    return head + question.raw + record


def _readable(label: bytes) -> str:
    return "".join(chr(byte) if 0x20 < byte < 0x7F and byte not in b".\\" else f"\\{byte:03}" for byte in label)
