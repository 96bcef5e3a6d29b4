"""Whose word counts for a bundle: keys, signed checkpoints, and the auditor's policy. The first part of a bundle's `verify.py`.

Imports nothing of Mohist; see `verify`.
"""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import dataclass

HASH_BYTES = 32
WIDTH = 256
"""Hashes in a full tile."""
CHECKPOINT_FORM = "it is not in the form of a checkpoint"


class WrongError(Exception):
    """What does not hold: where, why, and in which step where that is not the one that is being gone through."""

    def __init__(self, where: str, why: str, step: str = "") -> None:
        super().__init__(f"{where}: {why}")
        self.where, self.why, self.step = where, why, step


@dataclass(frozen=True)
class Key:
    """A public key with its name: kind 1 a log's, 4 a witness's."""

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    @classmethod
    def parse(cls, text: str) -> Key:
        try:
            name, key_id, material = text.strip().split("+", 2)
            raw = base64.b64decode(material, validate=True)
            key = cls(name, raw[0], raw[1:])
        except (ValueError, IndexError):
            raise WrongError(text.strip()[:80], "this is no verifier key of the form NAME+ID+KEY") from None
        if key.kind not in (1, 4) or len(key.public) != 32 or key.key_id.hex() != key_id:
            raise WrongError(name, f"it is no Ed25519 key with the id {key_id}")
        return key

    def signed(self, signature: bytes, message: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class Checkpoint:
    """A signed checkpoint as it was read."""

    where: str
    origin: str
    size: int
    root: bytes
    text: bytes
    lines: tuple[tuple[str, bytes, bytes], ...]

    @classmethod
    def read(cls, where: str, data: bytes) -> Checkpoint:
        try:
            body, separator, under = data.decode().rpartition("\n\n")
            origin, size, root = body.split("\n")
            lines = []
            for line in under.removesuffix("\n").split("\n"):
                dash, name, signature = line.split(" ")
                raw = base64.b64decode(signature, validate=True)
                if dash != "\u2014" or len(raw) <= 4:
                    raise ValueError
                lines.append((name, raw[:4], raw[4:]))
            decoded = base64.b64decode(root, validate=True)
            checkpoint = cls(where, origin, int(size), decoded, f"{body}\n".encode(), tuple(lines))
        except ValueError:
            raise WrongError(where, CHECKPOINT_FORM) from None
        if not separator or str(checkpoint.size) != size or len(checkpoint.root) != HASH_BYTES:
            raise WrongError(where, CHECKPOINT_FORM)
        return checkpoint

    def signature_of(self, key: Key) -> int | None:
        """When the key signed, in seconds since 1970, 0 for a log's key; None: it did not."""
        for name, key_id, signature in self.lines:
            if (name, key_id) != (key.name, key.key_id):
                continue
            time_s, message = 0, self.text
            if key.kind == 4:
                time_s, signature = int.from_bytes(signature[:8], "big"), signature[8:]
                message = f"cosignature/v1\ntime {time_s}\n".encode() + message
            if not key.signed(signature, message):
                raise WrongError(self.where, f"it bears the name of {key.name} under a signature that is not theirs")
            return time_s
        return None


class Policy:
    """Which witnesses the auditor believes (C2SP tlog-policy)."""

    def __init__(self, text: str) -> None:
        self.witnesses: dict[str, Key] = {}
        self.groups: dict[str, tuple[int, list[str]]] = {"none": (0, [])}
        self.quorum = "none"
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            try:
                if words and not words[0].startswith("#"):
                    self._take(words[0], words[1:])
            except (ValueError, IndexError):
                raise WrongError(f"line {number}", f"it can't be understood: {line.strip()[:80]}", "policy") from None

    def _take(self, word: str, rest: list[str]) -> None:
        if word == "log":
            Key.parse(rest[0])
        elif word == "witness":
            self.witnesses[rest[0]] = Key.parse(rest[1])
        elif word == "group" and all(name in self.witnesses or name in self.groups for name in rest[2:]):
            need = {"any": 1, "all": len(rest) - 2}.get(rest[1]) or int(rest[1])
            self.groups[rest[0]] = (need, rest[2:])
        elif word == "quorum" and (rest[0] in self.witnesses or rest[0] in self.groups):
            self.quorum = rest[0]
        else:
            raise ValueError(word)

    def met(self, name: str, seen: dict[str, int]) -> bool:
        need, members = self.groups.get(name, (0, []))
        return sum(self.met(one, seen) for one in members) >= need if name in self.groups else name in seen


def tile_path(level: int | str, index: int, size: int) -> str:
    """Where a tile lies in the bundle; `size` is how many hashes its level has."""
    width = min(WIDTH, size - index * WIDTH)
    parts = [f"{index % 1000:03d}"]
    while index >= 1000:
        index //= 1000
        parts.append(f"x{index % 1000:03d}")
    return f"tile/{level}/" + "/".join(reversed(parts)) + ("" if width == WIDTH else f".p/{width}")


def moment(at_us: int) -> str:
    """For people."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(at_us / 1_000_000))


def read_subset(data: bytes, size: int) -> dict[int, list[tuple[int, bytes]]]:
    """The entries of a bundle that shows some streams only: a line each, "INDEX ENTRY", in order; by tile."""
    found: dict[int, list[tuple[int, bytes]]] = {}
    before = -1
    for line in data.splitlines():
        text, _, entry = line.partition(b" ")
        number = int(text) if text.isdigit() and len(text) < 19 else size
        if not before < number < size or not entry:
            raise WrongError("subset", f"the line after entry {before} is not one of an entry further on")
        found.setdefault(number // WIDTH, []).append((number, entry))
        before = number
    return found
