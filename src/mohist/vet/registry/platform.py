"""The machine that native packages must fit."""

from __future__ import annotations

import platform as machine
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_NPM_CPUS = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64", "i686": "ia32"}
_WHEEL = re.compile(
    r"(?P<name>.+?)-(?P<version>[^-]+)(?:-\d[^-]*)?-(?P<python>[^-]+)-(?P<abi>[^-]+)-(?P<platform>[^-]+)\.whl"
)


@dataclass(frozen=True, slots=True)
class Platform:
    """One machine."""

    system: str
    """ "linux", "darwin", "win32", as `sys.platform` has it."""
    cpu: str
    """ "x86_64", "aarch64", as `uname -m` has it."""
    libc: str
    """ "glibc" or "musl"; empty beside Linux."""
    python: tuple[int, int]

    def fits_npm(self, systems: Sequence[str], cpus: Sequence[str], libcs: Sequence[str]) -> bool:
        """Whether npm would install a package with these `os`, `cpu` and `libc` (a word with "!" excludes)."""
        own = _NPM_CPUS.get(self.cpu.lower(), self.cpu.lower())
        return all(
            _allows(words, value) for words, value in ((systems, self.system), (cpus, own), (libcs, self.libc)) if value
        )

    def wheel_rank(self, file: str) -> int:
        """How well a wheel fits, from its name (PEP 427): 0 not at all; more is better."""
        match = _WHEEL.fullmatch(file)
        if match is None:
            return 0
        platforms, pythons, abis = match["platform"].split("."), match["python"].split("."), match["abi"].split(".")
        own = f"cp{self.python[0]}{self.python[1]}"
        stable = "abi3" in abis and any(_older(tag, self.python) for tag in pythons)
        if (
            own not in pythons
            and not stable
            and not any(tag in ("py3", f"py{self.python[0]}{self.python[1]}") for tag in pythons)
        ):
            return 0
        if platforms == ["any"]:
            return 1
        return 2 + (own in pythons) if any(self._platform(tag) for tag in platforms) else 0

    def _platform(self, tag: str) -> bool:
        cpu = {"arm64": "aarch64", "amd64": "x86_64"}.get(self.cpu.lower(), self.cpu.lower())
        if self.system == "linux":
            return tag.endswith(cpu) and tag.startswith("musllinux" if self.libc == "musl" else ("manylinux", "linux_"))
        if self.system == "darwin":
            return tag.startswith("macosx") and tag.endswith((self.cpu.lower(), "universal2"))
        return tag == {"x86_64": "win_amd64", "aarch64": "win_arm64"}.get(cpu, "win32")


def here() -> Platform:
    """This machine."""
    libc = ""
    if sys.platform == "linux":
        libc = "musl" if next(Path("/lib").glob("ld-musl-*"), None) and not machine.libc_ver()[0] else "glibc"
    return Platform(sys.platform, machine.machine(), libc, (sys.version_info[0], sys.version_info[1]))


def _allows(words: Sequence[str], value: str) -> bool:
    denied = {word[1:] for word in words if word.startswith("!")}
    allowed = {word for word in words if not word.startswith("!")}
    return value not in denied and (not allowed or value in allowed or "any" in allowed)


def _older(tag: str, python: tuple[int, int]) -> bool:
    match = re.fullmatch(r"cp(\d)(\d+)", tag)
    return match is not None and (int(match[1]), int(match[2])) <= python
