"""Verifies an exported bundle with nothing but the log's public key. One file: Python's standard library and `cryptography`.

Every bundle holds a copy of this file, so it imports nothing of Mohist and repeats what little it needs of `tree` and `note`.
An auditor who trusts neither uses another implementation: the bundle is C2SP tlog-tiles, which several read.

The steps, in order; the first thing that is wrong ends them:

1. key         the verifier key has the id that it claims
2. checkpoint  `checkpoint` is in form, of the key's log, and bears its signature
3. witnesses   as many witnesses of the auditor's policy as its quorum asks for have cosigned; none asked for is said
4. tree        each entry hashes to its place in the tiles, each tile to its place in the next, all to the checkpoint's root
5. history     each earlier checkpoint in `checkpoints/` is signed, and the tree had that root at that size
6. entries     each is in form and of this log; each stream is numbered without gaps and chained to its own past
7. time        no entry is older than a checkpoint that was cosigned before it, none newer than one that holds it, clocks allowed for
8. contents    each that is shown is what its entry commits to
9. intents     what was begun and never closed is counted and named: not a fault of the log, but a question to its owner

Usage: python verify.py BUNDLE --key NAME+ID+KEY [--policy FILE] [--skew SECONDS] [--json]
Exit code 0: all holds. 1: something does not. 2: it could not be asked.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import hmac
import json
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

WIDTH = 256
HASH_BYTES = 32
MAX_ENTRY_BYTES = 65_535
DEFAULT_SKEW_S = 300
"""How far the clock of whoever wrote an entry may be from a witness's."""
MAX_NAMED = 20
CLOSES = {"model.response": "model.intent", "tool.result": "tool.intent"}


class WrongError(Exception):
    """The first thing that does not hold."""

    def __init__(self, step: str, where: str, why: str) -> None:
        super().__init__(f"{step}: {where}: {why}")
        self.step, self.where, self.why = step, where, why


@dataclass
class Verdict:
    """What was established."""

    holds: bool = False
    origin: str = ""
    size: int = 0
    root: str = ""
    steps: list[str] = field(default_factory=list)
    witnesses: dict[str, int] = field(default_factory=dict)
    """When each cosigned, in seconds since 1970."""
    earlier_checkpoints: int = 0
    streams: int = 0
    contents: int = 0
    open_intents: list[str] = field(default_factory=list)
    open_intents_in_all: int = 0
    first_at_us: int = 0
    last_at_us: int = 0
    warnings: list[str] = field(default_factory=list)
    step: str = ""
    where: str = ""
    why: str = ""


@dataclass(frozen=True)
class Key:
    """A public key with its name: 0x01 a log's, 0x04 a witness's."""

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
        except (ValueError, IndexError, binascii.Error):
            raise WrongError("key", text.strip()[:80], "this is no verifier key of the form NAME+ID+KEY") from None
        if key.kind not in (1, 4) or len(key.public) != 32 or key.key_id.hex() != key_id:
            raise WrongError("key", name, f"it is no Ed25519 key with the id {key_id}")
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
            checkpoint = cls(
                where, origin, int(size), base64.b64decode(root, validate=True), f"{body}\n".encode(), tuple(lines)
            )
        except (ValueError, binascii.Error):
            raise WrongError("checkpoint", where, "it is not in the form of a checkpoint") from None
        if not separator or str(checkpoint.size) != size or len(checkpoint.root) != HASH_BYTES:
            raise WrongError("checkpoint", where, "it is not in the form of a checkpoint")
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
                raise WrongError(
                    "checkpoint", self.where, f"it bears the name of {key.name} under a signature that is not theirs"
                )
            return time_s
        return None


@dataclass
class Policy:
    """Which witnesses the auditor believes (C2SP tlog-policy)."""

    logs: list[Key] = field(default_factory=list)
    witnesses: dict[str, Key] = field(default_factory=dict)
    groups: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    quorum: str = "none"

    @classmethod
    def parse(cls, text: str) -> Policy:
        policy = cls()
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            try:
                if words[0] == "log":
                    policy.logs.append(Key.parse(words[1]))
                elif words[0] == "witness":
                    policy.witnesses[words[1]] = Key.parse(words[2])
                elif words[0] == "group":
                    members = words[3:]
                    if not all(name in policy.witnesses or name in policy.groups for name in members):
                        raise ValueError
                    need = {"any": 1, "all": len(members)}.get(words[2]) or int(words[2])
                    policy.groups[words[1]] = (need, members)
                elif words[0] == "quorum":
                    policy.quorum = words[1]
                    if not (words[1] == "none" or words[1] in policy.witnesses or words[1] in policy.groups):
                        raise ValueError
                else:
                    raise ValueError
            except (ValueError, IndexError):
                raise WrongError("policy", f"line {number}", f"it can't be understood: {line.strip()[:80]}") from None
        return policy

    def met(self, name: str, have: Callable[[str], bool]) -> bool:
        if name == "none":
            return True
        if name in self.groups:
            need, members = self.groups[name]
            return sum(self.met(member, have) for member in members) >= need
        return have(name)


class Tree:
    """The right edge of the tree as it is built anew, with its roots where they are asked for."""

    def __init__(self) -> None:
        self.size = 0
        self.edge: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        size, node = self.size, leaf
        while size & 1:
            node = hashlib.sha256(b"\x01" + self.edge.pop() + node).digest()
            size >>= 1
        self.edge.append(node)
        self.size += 1

    def root(self) -> bytes:
        if not self.edge:
            return hashlib.sha256(b"").digest()
        node = self.edge[-1]
        for left in reversed(self.edge[:-1]):
            node = hashlib.sha256(b"\x01" + left + node).digest()
        return node


def tile_path(level: int | str, index: int, width: int) -> str:
    """Where a tile lies in the bundle."""
    parts = [f"{index % 1000:03d}"]
    while index >= 1000:
        index //= 1000
        parts.append(f"x{index % 1000:03d}")
    return f"tile/{level}/" + "/".join(reversed(parts)) + ("" if width == WIDTH else f".p/{width}")


class Bundle:
    """A folder with an export in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, step: str, path: str) -> bytes:
        try:
            return (self.root / path).read_bytes()
        except OSError as error:
            raise WrongError(step, path, f"it can't be read: {error.strerror}") from None

    def entries(self, size: int) -> Iterator[tuple[int, bytes, bytes]]:
        """(index, entry, its hash as the tile says)."""
        for index in range((size + WIDTH - 1) // WIDTH):
            width = min(WIDTH, size - index * WIDTH)
            where = tile_path("entries", index, width)
            data, hashes = self.read("tree", where), self.read("tree", tile_path(0, index, width))
            if len(hashes) != width * HASH_BYTES:
                raise WrongError(
                    "tree", tile_path(0, index, width), f"it has {len(hashes)} bytes, not {width * HASH_BYTES}"
                )
            at = 0
            for offset in range(width):
                number = index * WIDTH + offset
                length = struct.unpack_from(">H", data, at)[0] if at + 2 <= len(data) else MAX_ENTRY_BYTES + 1
                entry = data[at + 2 : at + 2 + length]
                if len(entry) != length:
                    raise WrongError("tree", f"entry {number} in {where}", "the bundle ends within it, or before it")
                at += 2 + length
                yield number, entry, hashes[offset * HASH_BYTES : (offset + 1) * HASH_BYTES]
            if at != len(data):
                raise WrongError("tree", where, f"{len(data) - at} bytes follow its last entry")

    def upper_tiles(self, size: int) -> None:
        """Each tile above the lowest holds the hashes of the full tiles below it."""
        level, count = 0, size
        while count >= WIDTH:
            above = count // WIDTH
            for index in range((above + WIDTH - 1) // WIDTH):
                width = min(WIDTH, above - index * WIDTH)
                where = tile_path(level + 1, index, width)
                hashes = self.read("tree", where)
                if len(hashes) != width * HASH_BYTES:
                    raise WrongError("tree", where, f"it has {len(hashes)} bytes, not {width * HASH_BYTES}")
                for offset in range(width):
                    below = tile_path(level, index * WIDTH + offset, WIDTH)
                    if folded(self.read("tree", below)) != hashes[offset * HASH_BYTES : (offset + 1) * HASH_BYTES]:
                        raise WrongError("tree", where, f"its hash {offset} is not that of {below}")
            level, count = level + 1, above


def folded(hashes: bytes) -> bytes:
    nodes = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
    while len(nodes) > 1:
        nodes = [hashlib.sha256(b"\x01" + nodes[at] + nodes[at + 1]).digest() for at in range(0, len(nodes), 2)]
    return nodes[0]


@dataclass
class Streams:
    """Follows every stream's numbers, chain and intents."""

    origin: str
    last: dict[str, tuple[int, str]] = field(default_factory=dict)
    intents: dict[str, str] = field(default_factory=dict)
    payloads: dict[str, tuple[int, str]] = field(default_factory=dict)
    wanted: frozenset[str] = frozenset()

    def follow(self, number: int, entry: bytes, leaf: bytes) -> int:
        """Checks one entry; returns its time in microseconds since 1970."""
        where = f"entry {number}"
        try:
            value: Any = json.loads(entry)
            stream, sequence, previous, at_us = value["stream"], value["seq"], value["prev"], value["at"]
            kind, log = value["kind"], value["log"]
        except (ValueError, KeyError, TypeError):
            raise WrongError("entries", where, "it is not in the form of an entry") from None
        if value.get("v") != 1 or not isinstance(at_us, int):
            raise WrongError("entries", where, "it is of a version that this verifier does not know")
        if log != self.origin:
            raise WrongError("entries", where, f"it was written for the log {log}")
        count, chained = self.last.get(stream, (0, ""))
        if (sequence, previous) != (count, chained):
            why = (
                f"stream {stream} goes on with number {sequence} where {count} is due"
                if sequence != count
                else (f"stream {stream} is not chained to its entry before")
            )
            raise WrongError("entries", where, why)
        self.last[stream] = (count + 1, leaf.hex())
        if kind in CLOSES.values() and value.get("key"):
            self.intents[value["key"]] = where
        elif kind in CLOSES:
            self.intents.pop(value.get("about", {}).get("intent", ""), None)
        for payload in value.get("payload", ()):
            if payload.get("digest") in self.wanted:
                self.payloads[payload["digest"]] = (number, payload["commitment"])
        return at_us


def contents(bundle: Bundle, known: dict[str, tuple[int, str]], shown: Sequence[str]) -> int:
    """Each content that is shown is what its entry commits to; those without a key are checked as ciphertext."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    for digest in shown:
        where = f"payload/{digest}"
        ciphertext = bundle.read("contents", where)
        if hashlib.sha256(ciphertext).hexdigest() != digest:
            raise WrongError("contents", where, "it is not what its name says")
        if digest not in known:
            raise WrongError("contents", where, "no entry names it")
        if not (bundle.root / f"{where}.key").exists():
            continue
        number, commitment = known[digest]
        try:
            key = bytes.fromhex(bundle.read("contents", f"{where}.key").decode().strip())
            # HKDF with the two purposes of ledger/vault.py.
            seal, commit = (
                HKDFExpand(hashes.SHA256(), 32, f"mohist ledger payload v1 {purpose}".encode()).derive(key)
                for purpose in ("encryption", "commitment")
            )
            data = AESGCM(seal).decrypt(ciphertext[:12], ciphertext[12:], None)
        except (ValueError, InvalidTag):
            raise WrongError("contents", where, "its key does not open it") from None
        if not hmac.compare_digest(hmac.new(commit, data, hashlib.sha256).hexdigest(), commitment):
            raise WrongError("contents", where, f"it is not what entry {number} commits to")
    return len(shown)


def verify(
    folder: Path,
    key_text: str,
    *,
    policy_text: str = "",
    skew_s: int = DEFAULT_SKEW_S,
    tell: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """Goes through the steps.

    Args:
        folder: the bundle.
        key_text: the log's verifier key, from somewhere else than the bundle.
        policy_text: the auditor's policy; empty: no witness is asked for.
        skew_s: allowed between clocks.
        tell: is told each step that holds.

    Returns:
        The verdict; `holds` is false with `step`, `where` and `why` of the first thing that is wrong.
    """
    verdict = Verdict()
    try:
        _steps(verdict, Bundle(folder), key_text, policy_text, skew_s * 1_000_000, tell)
    except WrongError as wrong:
        verdict.step, verdict.where, verdict.why = wrong.step, wrong.where, wrong.why
    else:
        verdict.holds = True
    return verdict


def _steps(
    verdict: Verdict, bundle: Bundle, key_text: str, policy_text: str, skew_us: int, tell: Callable[[str], None]
) -> None:
    def done(step: str, what: str) -> None:
        verdict.steps.append(step)
        tell(f"{step:<11} {what}")

    key = Key.parse(key_text)
    done("key", f"{key.name}, {key.key_id.hex()}")

    head = Checkpoint.read("checkpoint", bundle.read("checkpoint", "checkpoint"))
    verdict.origin, verdict.size, verdict.root = head.origin, head.size, head.root.hex()
    if head.origin != key.name:
        raise WrongError("checkpoint", "checkpoint", f"it is of the log {head.origin}, not of {key.name}")
    if head.signature_of(key) is None:
        raise WrongError(
            "checkpoint", "checkpoint", f"it bears no signature of {key.name} with the id {key.key_id.hex()}"
        )
    done("checkpoint", f"{head.size} entries, signed")

    policy = Policy.parse(policy_text)
    seen = {name: head.signature_of(witness) for name, witness in policy.witnesses.items()}
    verdict.witnesses = {name: time_s for name, time_s in seen.items() if time_s is not None}
    if not policy.met(policy.quorum, lambda name: seen[name] is not None):
        have = ", ".join(verdict.witnesses) or "none of its witnesses"
        raise WrongError("witnesses", "checkpoint", f"the policy asks for {policy.quorum}; cosigned: {have}")
    if policy.quorum == "none":
        verdict.warnings.append(
            "No witness was asked for: that the owner of the log rewrote it and signed anew is not excluded. Use --policy."
        )
    done("witnesses", ", ".join(verdict.witnesses) or "none asked for")

    earlier = _earlier(bundle, head, key)
    shown = sorted(path.name for path in (bundle.root / "payload").glob("*") if path.suffix != ".key")
    streams, tree = Streams(head.origin, wanted=frozenset(shown)), Tree()
    times = _Times(skew_us, [(one.size, _witnessed(one, policy)) for one in (*earlier.values(), head)])
    form: WrongError | None = None
    _root_at(tree, earlier)
    for number, entry, claimed in bundle.entries(head.size):
        leaf = hashlib.sha256(b"\x00" + entry).digest()
        if leaf != claimed:
            raise WrongError(
                "tree",
                f"entry {number}",
                f"its bytes are not those of {tile_path(0, number // WIDTH, min(WIDTH, head.size - number // WIDTH * WIDTH))}",
            )
        tree.add(leaf)
        _root_at(tree, earlier)
        if form is None:
            # Told only if the tree holds: a broken tree is the plainer finding, and comes first.
            try:
                at_us = streams.follow(number, entry, leaf)
                times.follow(number, at_us)
                verdict.first_at_us, verdict.last_at_us = verdict.first_at_us or at_us, at_us
            except WrongError as wrong:
                form = wrong
    bundle.upper_tiles(head.size)
    if tree.root() != head.root:
        raise WrongError(
            "tree", "checkpoint", "its root is not that of the entries: one was changed, put in, left out or moved"
        )
    done("tree", f"{head.size} entries under the signed root")
    verdict.earlier_checkpoints = len(earlier)
    done("history", f"{len(earlier)} earlier checkpoints")
    if form is not None:
        raise form
    verdict.streams = len(streams.last)
    done("entries", f"{len(streams.last)} streams without gaps")
    done("time", f"{moment(verdict.first_at_us)} to {moment(verdict.last_at_us)}")
    verdict.contents = contents(bundle, streams.payloads, shown) if shown else 0
    done("contents", f"{verdict.contents} shown")
    verdict.open_intents_in_all = len(streams.intents)
    verdict.open_intents = list(streams.intents.values())[:MAX_NAMED]
    done("intents", f"{len(streams.intents)} without a result")


def moment(at_us: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(at_us / 1_000_000))


def _earlier(bundle: Bundle, head: Checkpoint, key: Key) -> dict[int, Checkpoint]:
    earlier = {}
    for path in sorted((bundle.root / "checkpoints").glob("*")):
        one = Checkpoint.read(f"checkpoints/{path.name}", bundle.read("history", f"checkpoints/{path.name}"))
        if one.origin != head.origin or one.signature_of(key) is None:
            raise WrongError("history", one.where, f"it is not signed by {key.name}")
        if one.size > head.size:
            raise WrongError(
                "history",
                one.where,
                f"the log had {one.size} entries then, and has {head.size} now: its end was cut off",
            )
        earlier[one.size] = one
    return earlier


def _root_at(tree: Tree, earlier: dict[int, Checkpoint]) -> None:
    one = earlier.get(tree.size)
    if one is not None and one.root != tree.root():
        raise WrongError(
            "history",
            one.where,
            f"the first {tree.size} entries are not those that were signed then: the past was rewritten",
        )


def _witnessed(one: Checkpoint, policy: Policy) -> int | None:
    times = [time_s for key in policy.witnesses.values() if (time_s := one.signature_of(key)) is not None]
    return min(times) if times else None


class _Times:
    """Holds entries' times against those of the witnesses."""

    def __init__(self, skew_us: int, cosigned: list[tuple[int, int | None]]) -> None:
        self._skew_us = skew_us
        self._bounds = sorted((size, time_s * 1_000_000) for size, time_s in cosigned if time_s is not None)
        self._at = 0

    def follow(self, number: int, at_us: int) -> None:
        while self._at < len(self._bounds) and self._bounds[self._at][0] <= number:
            self._at += 1
        before = self._bounds[self._at - 1][1] if self._at else None
        after = self._bounds[self._at][1] if self._at < len(self._bounds) else None
        if before is not None and at_us < before - self._skew_us:
            raise WrongError(
                "time",
                f"entry {number}",
                f"it says {moment(at_us)}, and was not in the log when that was cosigned at {moment(before)}: it is back-dated",
            )
        if after is not None and at_us > after + self._skew_us:
            raise WrongError(
                "time",
                f"entry {number}",
                f"it says {moment(at_us)}, and was cosigned at {moment(after)}: it is dated ahead",
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--key", required=True, help="the log's verifier key, from a source other than the bundle")
    parser.add_argument("--policy", type=Path, help="the witnesses you believe, as a C2SP tlog-policy file")
    parser.add_argument("--skew", type=int, default=DEFAULT_SKEW_S, metavar="SECONDS")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    try:
        policy_text = asked.policy.read_text("utf-8") if asked.policy else ""
    except OSError as error:
        print(f"{asked.policy}: {error.strerror}", file=sys.stderr)
        return 2
    tell = (lambda _: None) if asked.json else lambda line: print(f"ok  {line}")
    verdict = verify(asked.bundle, asked.key, policy_text=policy_text, skew_s=asked.skew, tell=tell)
    if asked.json:
        print(json.dumps(asdict(verdict), indent=2))
    elif not verdict.holds:
        print(f"NO  {verdict.step:<11} {verdict.where}: {verdict.why}")
    for warning in verdict.warnings:
        print(f"note: {warning}", file=sys.stderr)
    return 0 if verdict.holds else 1


if __name__ == "__main__":
    sys.exit(main())
