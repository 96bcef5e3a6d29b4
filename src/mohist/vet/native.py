"""Native programs: which format and machine they are for, and the files that JavaScript runtimes embed in them.

Sources: ELF gABI; Mach-O `mach-o/loader.h`; PE/COFF specification; Bun `StandaloneModuleGraph`; Node.js "Single executable
applications" (`node_sea.h`); pkg's prelude; Deno's trailer. Nothing here depends on a release: what varies is found by what must hold.
"""

from __future__ import annotations

import json
import mmap
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Format = Literal["elf", "mach-o", "pe", "wasm"]
Runtime = Literal["bun", "node-sea", "pkg", "deno", ""]
Bytes = bytes | mmap.mmap

_ELF_MACHINES = {
    3: "x86",
    40: "arm",
    62: "x86_64",
    183: "aarch64",
    243: "riscv64",
    258: "loongarch64",
    21: "ppc64",
    22: "s390x",
}
_PE_MACHINES = {0x14C: "x86", 0x8664: "x86_64", 0xAA64: "aarch64"}
_MACHO_MACHINES = {7: "x86", 0x01000007: "x86_64", 12: "arm", 0x0100000C: "aarch64"}
_MACHO = {b"\xcf\xfa\xed\xfe": "<", b"\xce\xfa\xed\xfe": "<", b"\xfe\xed\xfa\xcf": ">", b"\xfe\xed\xfa\xce": ">"}
_FAT = b"\xca\xfe\xba\xbe"

_BUN_TRAILER = b"\n---- Bun! ----\n"
_BUN_NAMES = (b"/$bunfs/", b"B:/~BUN/", b"B:\\~BUN\\", b"compiled://")
_BUN_OFFSETS_BYTES = (32, 28, 36, 40, 24, 48)
"""What stands between the modules and the trailer; its first fields are the same in all: byte count, where the list of modules is."""
_BUN_STRIDES = range(24, 129, 4)
_SEA_MAGIC = b"\x20\xda\x43\x01"
_DENO_TRAILER = b"d3n0l4nd"
_PKG_MARKS = (b"pkg/prelude/bootstrap.js", b"PAYLOAD_POSITION", b"/snapshot/")
_MODULES_MOST = 100_000
_CARVED_MIN_BYTES = 4096
_CARVED = re.compile(rb"[\x09\x0a\x0d\x20-\x7e\xc2-\xf4\x80-\xbf]{%d,}+" % _CARVED_MIN_BYTES)
_LOOKS_LIKE_CODE = re.compile(rb"\bfunction\b|=>|\brequire\(|\bimport\b|\bmodule\.exports\b|\bconst ")


@dataclass(frozen=True, slots=True)
class Native:
    """A native program or library."""

    format: Format
    machines: tuple[str, ...]
    """ "x86_64"; more than one in a universal file of macOS."""
    runtime: Runtime = ""
    """The JavaScript runtime that it is, with a program in it; empty: none that is known."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """A file in a native program."""

    name: str
    """As the program calls it: "/$bunfs/root/cli.js"."""
    start: int
    end: int
    """Bytes of the program."""


def identify(head: bytes) -> Native | None:
    """What a file that begins so is; None: no native program. Of the runtime nothing is known yet.

    Args:
        head: 4 kB or all of it.
    """
    if head.startswith(b"\x7fELF") and len(head) >= 20:
        order = ">" if head[5] == 2 else "<"
        (machine,) = struct.unpack_from(order + "H", head, 18)
        return Native("elf", (_ELF_MACHINES.get(machine, f"machine {machine}"),))
    if head[:4] in _MACHO and len(head) >= 8:
        (machine,) = struct.unpack_from(_MACHO[head[:4]] + "I", head, 4)
        return Native("mach-o", (_MACHO_MACHINES.get(machine, f"machine {machine}"),))
    if head.startswith(_FAT) and len(head) >= 8:
        (count,) = struct.unpack_from(">I", head, 4)
        # A class file of Java begins alike, with its version where the count is: 45 at least.
        if 0 < count < 20 and len(head) >= 8 + 20 * count:
            machines = [struct.unpack_from(">I", head, 8 + 20 * at)[0] for at in range(count)]
            return Native("mach-o", tuple(_MACHO_MACHINES.get(machine, f"machine {machine}") for machine in machines))
    if head.startswith(b"MZ") and len(head) >= 64:
        (at,) = struct.unpack_from("<I", head, 60)
        if head[at : at + 4] == b"PE\0\0" and len(head) >= at + 6:
            (machine,) = struct.unpack_from("<H", head, at + 4)
            return Native("pe", (_PE_MACHINES.get(machine, f"machine {machine}"),))
    return Native("wasm", ("wasm",)) if head.startswith(b"\0asm") else None


def embedded(data: Bytes) -> tuple[Runtime, list[Embedded]]:
    """The runtime that a native program is, and the files in it; ("", []): none that is known.

    What of a known runtime can't be taken apart is carved: stretches of text that look like code.
    """
    files = _bun(data)
    if files:
        return "bun", files
    sea = _sea(data)
    if sea:
        return "node-sea", sea
    if data.rfind(_DENO_TRAILER) >= 0 and data.find(b"Deno") >= 0:
        return "deno", list(carve(data))
    if all(data.find(mark) >= 0 for mark in _PKG_MARKS):
        return "pkg", list(carve(data))
    if data.rfind(_BUN_TRAILER) >= 0 and any(data.find(name) >= 0 for name in _BUN_NAMES):
        return "bun", list(carve(data))
    return "", []


def packed(data: Bytes) -> list[Embedded]:
    """The files of an asar archive, in which Electron's programs come (https://github.com/electron/asar#format); []: it is none."""
    if len(data) < 16:
        return []
    four, header_bytes, _, text_bytes = struct.unpack_from("<IIII", data, 0)
    if four != 4 or not 2 <= text_bytes <= header_bytes <= len(data) - 8 or data[16:17] != b"{":
        return []
    try:
        header = json.loads(bytes(data[16 : 16 + text_bytes]))
    except (ValueError, RecursionError):
        return []
    found: list[Embedded] = []
    queue = [("", header)]
    while queue and len(found) < _MODULES_MOST:
        name, entry = queue.pop()
        inner = entry.get("files") if isinstance(entry, dict) else None
        if isinstance(inner, dict):
            queue += [(f"{name}/{child}" if name else str(child), value) for child, value in inner.items()]
        elif isinstance(entry, dict) and str(entry.get("offset", "")).isdigit() and isinstance(entry.get("size"), int):
            start = 8 + header_bytes + int(entry["offset"])
            if 0 <= entry["size"] <= len(data) - start:
                found.append(Embedded(name, start, start + entry["size"]))
    return sorted(found, key=lambda one: one.start)


def carve(data: Bytes) -> Iterator[Embedded]:
    """Stretches of text in a program that look like code, by their place."""
    for match in _CARVED.finditer(data):
        if _LOOKS_LIKE_CODE.search(data, match.start(), match.end()):
            yield Embedded(f"at {match.start()}", match.start(), match.end())


def _bun(data: Bytes) -> list[Embedded]:
    trailer = data.rfind(_BUN_TRAILER)
    while trailer >= 0:
        for size in _BUN_OFFSETS_BYTES:
            files = _bun_modules(data, trailer, size)
            if files:
                return files
        trailer = data.rfind(_BUN_TRAILER, 0, trailer)
    return []


def _bun_modules(data: Bytes, trailer: int, size: int) -> list[Embedded]:
    """The modules, if the offsets are of this size: then all of them lie where the names are those of Bun's file system."""
    at = trailer - size
    if at < 0:
        return []
    count, offset, length = struct.unpack_from("<QII", data, at)
    start = at - count
    if count > at or start < 0 or length <= 0 or offset + length > count:
        return []
    for stride in _BUN_STRIDES:
        if length % stride or length // stride > _MODULES_MOST:
            continue
        files: list[Embedded] = []
        for entry in range(start + offset, start + offset + length, stride):
            name_at, name_bytes, at_, bytes_ = struct.unpack_from("<IIII", data, entry)
            name = data[start + name_at : start + name_at + min(name_bytes, 4096)]
            if not name.startswith(_BUN_NAMES) or name_at + name_bytes > count or at_ + bytes_ > count:
                break
            files.append(Embedded(name.decode("utf-8", "replace"), start + at_, start + at_ + bytes_))
        else:
            return files
    return []


def _sea(data: Bytes) -> list[Embedded]:
    """Of Node.js: magic, flags, the code's path, the code (lengths of 8 bytes in front of each)."""
    at = data.find(_SEA_MAGIC)
    while at >= 0:
        for skip in (8, 12):  # later releases put one more field of flags in front
            place = at + skip
            if place + 8 > len(data):
                continue
            (path_bytes,) = struct.unpack_from("<Q", data, place)
            if not 0 < path_bytes <= 4096 or place + 16 + path_bytes > len(data):
                continue
            path = data[place + 8 : place + 8 + path_bytes]
            code = place + 8 + path_bytes
            (code_bytes,) = struct.unpack_from("<Q", data, code)
            if 0 < code_bytes <= len(data) - code - 8 and path.isascii() and path.decode("ascii").isprintable():
                return [Embedded(path.decode("ascii"), code + 8, code + 8 + code_bytes)]
        at = data.find(_SEA_MAGIC, at + 1)
    return []
