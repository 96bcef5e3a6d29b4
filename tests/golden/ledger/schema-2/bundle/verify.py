"""Verifies an exported bundle with nothing but the log's public key. One file: Python's standard library and `cryptography`.

Every bundle holds `trust` and this module, one after the other, as its `verify.py`; so they import nothing else of Mohist and
repeat what little they need of `tree` and `note`. An auditor who trusts neither uses another implementation: the bundle is C2SP tlog-tiles, which several read.

The steps, in order; the first thing that is wrong ends them:

1. key         the verifier key has the id that it claims
2. checkpoint  `checkpoint` is in form, of the key's log, and bears its signature
3. witnesses   as many witnesses of the auditor's policy as its quorum asks for have cosigned; none asked for is said
4. tree        each entry hashes to its place in the tiles, each tile to its place in the next, all to the checkpoint's root
5. history     each earlier checkpoint in `checkpoints/` is signed, and the tree had that root at that size
6. entries     each is in form and of this log; each stream is numbered without gaps and chained to its own past; where the owner
               shows some streams only (a file `subset` in place of tile/entries), each of these is whole as far as it was closed
7. time        no entry is older than a checkpoint that was cosigned before it or than an entry before it, none newer than a checkpoint
               that holds it, clocks allowed for
8. contents    each that is shown is what its entry commits to
9. intents     what was begun and never closed is counted and named: not a fault of the log, but a question to its owner

Usage: python verify.py BUNDLE --key NAME+ID+KEY [--policy FILE] [--stream NAME …] [--skew SECONDS] [--json]
Exit code 0: all holds. 1: something does not. 2: it could not be asked.
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

import argparse
import hashlib
import hmac
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


STEPS = ("key", "checkpoint", "witnesses", "tree", "history", "entries", "time", "contents", "intents")
MAX_ENTRY_BYTES = 65_535
DEFAULT_SKEW_S = 300
"""How far the clock of whoever wrote an entry may be from a witness's."""
MAX_NAMED = 20
CLOSES = {"model.response": "model.intent", "tool.result": "tool.intent"}


@dataclass
class Verdict:
    """What was established."""

    holds: bool = False
    step: str = ""
    where: str = ""
    why: str = ""
    origin: str = ""
    size: int = 0
    root: str = ""
    steps: list[str] = field(default_factory=list)
    witnesses: dict[str, int] = field(default_factory=dict)
    """When each cosigned, in seconds since 1970."""
    earlier_checkpoints: int = 0
    streams: int = 0
    entries_shown: int = 0
    closed: list[str] = field(default_factory=list)
    """Of a subset: the streams whose last entry says how many came before it; nothing of these is withheld."""
    contents: int = 0
    open_intents: list[str] = field(default_factory=list)
    open_intents_in_all: int = 0
    first_at_us: int = 0
    last_at_us: int = 0
    warnings: list[str] = field(default_factory=list)


class Tree:
    """The right edge of the tree as it is built anew."""

    def __init__(self) -> None:
        self.size = 0
        self.edge: list[bytes] = []

    def add(self, node: bytes, level: int = 0) -> None:
        """A leaf, or the root over 2^level of them where the tree has a multiple of those."""
        count = self.size >> level
        while count & 1:
            node = hashlib.sha256(b"\x01" + self.edge.pop() + node).digest()
            count >>= 1
        self.edge.append(node)
        self.size += 1 << level

    def root(self) -> bytes:
        if not self.edge:
            return hashlib.sha256(b"").digest()
        node = self.edge[-1]
        for left in reversed(self.edge[:-1]):
            node = hashlib.sha256(b"\x01" + left + node).digest()
        return node


def folded(hashes: bytes) -> bytes:
    """The root over a full tile."""
    nodes = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
    while len(nodes) > 1:
        nodes = [hashlib.sha256(b"\x01" + nodes[at] + nodes[at + 1]).digest() for at in range(0, len(nodes), 2)]
    return nodes[0]


class Audit:
    """Goes through the steps; each is a method of its name and returns what is told when it holds."""

    def __init__(self, root: Path, key_text: str, policy_text: str, skew_us: int, streams: Sequence[str]) -> None:
        self.root, self.streams = root, streams
        self.subset: dict[int, list[tuple[int, bytes]]] | None = None
        self.ended: set[str] = set()
        self.key_text, self.policy_text, self.skew_us = key_text, policy_text, skew_us
        self.verdict = Verdict()
        self.last: dict[str, tuple[int, str]] = {}
        self.intent: dict[str, str] = {}
        self.committed: dict[str, tuple[int, str]] = {}
        self.shown = sorted(path.name for path in (root / "payload").glob("*") if path.suffix != ".key")
        self.bounds: list[tuple[int, int]] = []
        self.bound = 0
        self.newest = (0, 0)
        self.signed = 0
        self.wrong_entry: WrongError | None = None

    def key(self) -> str:
        self.log_key = Key.parse(self.key_text)
        return f"{self.log_key.name}, {self.log_key.key_id.hex()}"

    def checkpoint(self) -> str:
        head = self.head = Checkpoint.read("checkpoint", self.read("checkpoint"))
        self.verdict.origin, self.verdict.size, self.verdict.root = head.origin, head.size, head.root.hex()
        if head.origin != self.log_key.name:
            raise WrongError("checkpoint", f"it is of the log {head.origin}, not of {self.log_key.name}")
        if head.signature_of(self.log_key) is None:
            name = f"{self.log_key.name} with the id {self.log_key.key_id.hex()}"
            raise WrongError("checkpoint", f"it bears no signature of {name}")
        return f"{head.size} entries, signed"

    def witnesses(self) -> str:
        policy = self.policy = Policy(self.policy_text)
        seen = {name: self.head.signature_of(key) for name, key in policy.witnesses.items()}
        have = self.verdict.witnesses = {name: time_s for name, time_s in seen.items() if time_s is not None}
        if not policy.met(policy.quorum, have):
            names = ", ".join(have) or "none of its witnesses"
            raise WrongError("checkpoint", f"the policy asks for {policy.quorum}; cosigned: {names}")
        if policy.quorum == "none":
            what = "that the owner of the log rewrote it and signed anew is not excluded"
            self.verdict.warnings.append(f"No witness was asked for: {what}. Use --policy.")
        return ", ".join(have) or "none asked for"

    def tree(self) -> str:
        """Reads everything once; what it finds for later steps waits for them, since a broken tree is the plainer finding."""
        if (self.root / "subset").exists() and not (self.root / "tile" / "entries").exists():
            self.subset = read_subset(self.read("subset"), self.head.size)
        earlier = self.earlier()
        self.bounds = sorted(
            (one.size, min(times) * 1_000_000)
            for one in (*earlier.values(), self.head)
            if (times := [t for key in self.policy.witnesses.values() if (t := one.signature_of(key)) is not None])
        )
        tree, folds = Tree(), []
        self.held(earlier, tree)
        for index in range((self.head.size + WIDTH - 1) // WIDTH):
            hashes = self.tile(0, index, self.head.size)
            if self.subset is None:
                self.entries_of_tile(index, hashes)
            else:
                for number, entry in self.subset.get(index, ()):
                    place = (number - index * WIDTH) * HASH_BYTES
                    self.entry(number, entry, hashes[place : place + HASH_BYTES])
            last = tree.size + len(hashes) // HASH_BYTES
            whole = last - tree.size == WIDTH
            if whole:
                folds.append(folded(hashes))
            if whole and not any(size in earlier for size in range(tree.size + 1, last)):
                tree.add(folds[-1], WIDTH.bit_length() - 1)
                self.held(earlier, tree)
            else:
                for at in range(0, len(hashes), HASH_BYTES):
                    tree.add(hashes[at : at + HASH_BYTES])
                    self.held(earlier, tree)
        self.upper_tiles(folds)
        if tree.root() != self.head.root:
            what = f"one from entry {self.signed} on was changed, put in, left out or moved"
            raise WrongError("checkpoint", f"its root is not that of the entries: {what}")
        shown = self.verdict.entries_shown = sum(count for count, _ in self.last.values())
        if self.subset is None:
            return f"{self.head.size} entries under the signed root"
        return f"hashes of {self.head.size} entries under the signed root, {shown} of them shown"

    def history(self) -> str:
        return f"{self.verdict.earlier_checkpoints} earlier checkpoints"

    def entries(self) -> str:
        if self.wrong_entry is not None:
            raise self.wrong_entry
        self.verdict.streams = len(self.last)
        for stream in self.streams:
            if stream not in self.last:
                raise WrongError(stream, "no entry of it is shown")
            if self.subset is not None and stream not in self.ended:
                raise WrongError(stream, "its last entry that is shown does not close it: later ones may be withheld")
        if self.subset is None:
            return f"{len(self.last)} streams without gaps"
        self.verdict.closed = sorted(self.ended)
        what = f"Only {self.verdict.entries_shown} of {self.head.size} entries are shown"
        self.verdict.warnings.append(f"{what}: of other streams nothing is established but that they can't be changed.")
        for stream in sorted(self.last.keys() - self.ended)[:MAX_NAMED]:
            self.verdict.warnings.append(
                f"{stream} is not closed: entries after the last that is shown may be withheld."
            )
        return f"{len(self.last)} streams without gaps, {len(self.ended)} of them closed"

    def time(self) -> str:
        return f"{moment(self.verdict.first_at_us)} to {moment(self.verdict.last_at_us)}"

    def contents(self) -> str:
        for digest in self.shown:
            where = f"payload/{digest}"
            ciphertext = self.read(where)
            if hashlib.sha256(ciphertext).hexdigest() != digest:
                raise WrongError(where, "it is not what its name says")
            if digest not in self.committed:
                raise WrongError(where, "no entry names it")
            if (self.root / f"{where}.key").exists():
                number, commitment = self.committed[digest]
                if not opens(self.read(f"{where}.key"), ciphertext, commitment, where):
                    raise WrongError(where, f"it is not what entry {number} commits to")
        self.verdict.contents = len(self.shown)
        return f"{len(self.shown)} shown"

    def intents(self) -> str:
        self.verdict.open_intents_in_all = len(self.intent)
        self.verdict.open_intents = list(self.intent.values())[:MAX_NAMED]
        return f"{len(self.intent)} without a result"

    def read(self, path: str) -> bytes:
        try:
            return (self.root / path).read_bytes()
        except OSError as error:
            raise WrongError(path, f"it can't be read: {error.strerror}") from None

    def tile(self, level: int, index: int, size: int) -> bytes:
        where, due = tile_path(level, index, size), min(WIDTH, size - index * WIDTH) * HASH_BYTES
        if len(hashes := self.read(where)) != due:
            raise WrongError(where, f"it has {len(hashes)} bytes, not {due}")
        return hashes

    def earlier(self) -> dict[int, Checkpoint]:
        """Earlier checkpoints by size, each signed by the log."""
        found = {}
        for path in sorted((self.root / "checkpoints").glob("*")):
            where = f"checkpoints/{path.name}"
            one = Checkpoint.read(where, self.read(where))
            if one.origin != self.head.origin or one.signature_of(self.log_key) is None:
                raise WrongError(where, f"it is not signed by {self.log_key.name}", "history")
            if one.size > self.head.size:
                raise WrongError(where, f"the log had {one.size} entries then: its end was cut off", "history")
            found[one.size] = one
        self.verdict.earlier_checkpoints = len(found)
        return found

    def held(self, earlier: dict[int, Checkpoint], tree: Tree) -> None:
        one = earlier.get(tree.size)
        if one is None:
            return
        if one.root != tree.root():
            what = f"entries {self.signed} to {tree.size - 1} are not those that were signed then"
            raise WrongError(one.where, f"{what}: the past was rewritten", "history")
        self.signed = tree.size

    def entries_of_tile(self, index: int, hashes: bytes) -> None:
        """Holds each entry against its hash, and follows it."""
        where = tile_path("entries", index, self.head.size)
        data, at, number = self.read(where), 0, index * WIDTH
        for place in range(0, len(hashes), HASH_BYTES):
            length = int.from_bytes(data[at : at + 2], "big") if at + 2 <= len(data) else MAX_ENTRY_BYTES + 1
            entry = data[at + 2 : at + 2 + length]
            if len(entry) != length:
                raise WrongError(f"entry {number} in {where}", "the bundle ends within it, or before it")
            self.entry(number, entry, hashes[place : place + HASH_BYTES])
            at, number = at + 2 + length, number + 1
        if at != len(data):
            raise WrongError(where, f"{len(data) - at} bytes follow its last entry")

    def entry(self, number: int, entry: bytes, due: bytes) -> None:
        leaf = hashlib.sha256(b"\x00" + entry).digest()
        if leaf != due:
            tile = tile_path(0, number // WIDTH, self.head.size)
            raise WrongError(f"entry {number}", f"its bytes are not those of {tile}")
        if self.wrong_entry is None:
            try:
                self.follow(number, entry, leaf)
            except WrongError as wrong:
                self.wrong_entry = wrong

    def upper_tiles(self, folds: list[bytes]) -> None:
        """Each tile above the lowest holds the hashes of the full tiles below it."""
        level, count = 1, self.head.size // WIDTH
        while count:
            above: list[bytes] = []
            for index in range((count + WIDTH - 1) // WIDTH):
                hashes = self.tile(level, index, count)
                for offset in range(len(hashes) // HASH_BYTES):
                    if folds[index * WIDTH + offset] != hashes[offset * HASH_BYTES :][:HASH_BYTES]:
                        below = tile_path(level - 1, index * WIDTH + offset, count * WIDTH)
                        where = tile_path(level, index, count)
                        raise WrongError(where, f"its hash {offset} is not that of {below}")
                if len(hashes) == WIDTH * HASH_BYTES:
                    above.append(folded(hashes))
            level, count, folds = level + 1, count // WIDTH, above

    def follow(self, number: int, entry: bytes, leaf: bytes) -> None:
        """One entry: its form, its stream, its time, what it begins, closes and commits to."""
        where = f"entry {number}"
        try:
            value: Any = json.loads(entry.decode())
            stream, sequence, previous = value["stream"], value["seq"], value["prev"]
            kind, log, at_us, version = value["kind"], value["log"], value["at"], value["v"]
        except (ValueError, KeyError, TypeError):
            raise WrongError(where, "it is not in the form of an entry") from None
        if version != 1 or not isinstance(at_us, int):
            raise WrongError(where, "it is of a version that this verifier does not know")
        if log != self.head.origin:
            raise WrongError(where, f"it was written for the log {log}")
        count, chained = self.last.get(stream, (0, ""))
        if sequence != count:
            raise WrongError(where, f"stream {stream} goes on with number {sequence} where {count} is due")
        if previous != chained:
            raise WrongError(where, f"stream {stream} is not chained to its entry before")
        self.last[stream] = (count + 1, leaf.hex())
        if kind == "stream.close":
            if (said := value.get("data", {}).get("entries")) != count:
                raise WrongError(where, f"it closes {stream} after {said} entries, and {count} came before it")
            self.ended.add(stream)
        else:
            self.ended.discard(stream)
        self.dated(where, number, at_us)
        if kind in CLOSES.values() and value.get("key"):
            self.intent[value["key"]] = where
        elif kind in CLOSES:
            self.intent.pop(value.get("about", {}).get("intent", ""), None)
        for payload in value.get("payload", ()):
            self.committed[payload.get("digest", "")] = (number, payload["commitment"])
        if not self.shown:
            self.committed.clear()

    def dated(self, where: str, number: int, at_us: int) -> None:
        self.verdict.first_at_us, self.verdict.last_at_us = self.verdict.first_at_us or at_us, at_us
        while self.bound < len(self.bounds) and self.bounds[self.bound][0] <= number:
            self.bound += 1
        before = self.bounds[self.bound - 1][1] if self.bound else 0
        if at_us < before - self.skew_us:
            why = f"and was not in the log when that was cosigned at {moment(before)}: it is back-dated"
        elif self.bound < len(self.bounds) and at_us > (after := self.bounds[self.bound][1]) + self.skew_us:
            why = f"and was cosigned at {moment(after)}: it is dated ahead"
        elif at_us < self.newest[0] - self.skew_us:
            said = f"entry {self.newest[1]}, which says {moment(self.newest[0])}"
            why = f"and stands behind {said}: it is back-dated, or a clock was set back"
        else:
            self.newest = max(self.newest, (at_us, number))
            return
        raise WrongError(where, f"it says {moment(at_us)}, {why}", "time")


def opens(key_text: bytes, ciphertext: bytes, commitment: str, where: str) -> bool:
    """Whether a content's key opens it to what is committed to; HKDF with the two purposes of ledger/vault.py."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    try:
        key = bytes.fromhex(key_text.decode().strip())
        purposes = (f"mohist ledger payload v1 {purpose}".encode() for purpose in ("encryption", "commitment"))
        seal, commit = (HKDFExpand(hashes.SHA256(), 32, purpose).derive(key) for purpose in purposes)
        data = AESGCM(seal).decrypt(ciphertext[:12], ciphertext[12:], None)
    except (ValueError, InvalidTag):
        raise WrongError(where, "its key does not open it") from None
    return hmac.compare_digest(hmac.new(commit, data, hashlib.sha256).hexdigest(), commitment)


def verify(
    folder: Path,
    key_text: str,
    *,
    policy_text: str = "",
    skew_s: int = DEFAULT_SKEW_S,
    streams: Sequence[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """Goes through the steps.

    Args:
        folder: the bundle.
        key_text: the log's verifier key, from somewhere else than the bundle.
        policy_text: the auditor's policy; empty: no witness is asked for.
        skew_s: allowed between clocks.
        streams: have to be there, and of a subset to be complete.
        tell: is told each step that holds.

    Returns:
        The verdict; `holds` is false with `step`, `where` and `why` of the first thing that is wrong.
    """
    audit = Audit(folder, key_text, policy_text, skew_s * 1_000_000, streams)
    verdict = audit.verdict
    for step in STEPS:
        try:
            said = getattr(audit, step)()
        except WrongError as wrong:
            verdict.step, verdict.where, verdict.why = wrong.step or step, wrong.where, wrong.why
            return verdict
        verdict.steps.append(step)
        tell(f"{step:<11} {said}")
    verdict.holds = True
    return verdict


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--key", required=True, help="the log's verifier key, from a source other than the bundle")
    parser.add_argument("--policy", type=Path, help="the witnesses you believe, as a C2SP tlog-policy file")
    parser.add_argument(
        "--stream", action="append", default=[], metavar="NAME", help="has to be there, complete; repeat"
    )
    parser.add_argument("--skew", type=int, default=DEFAULT_SKEW_S, metavar="SECONDS")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    try:
        policy_text = asked.policy.read_text("utf-8") if asked.policy else ""
    except OSError as error:
        print(f"{asked.policy}: {error.strerror}", file=sys.stderr)
        return 2
    tell = (lambda _: None) if asked.json else lambda line: print(f"ok  {line}")
    verdict = verify(
        asked.bundle, asked.key, policy_text=policy_text, skew_s=asked.skew, streams=asked.stream, tell=tell
    )
    if asked.json:
        print(json.dumps(asdict(verdict), indent=2))
    elif not verdict.holds:
        print(f"NO  {verdict.step:<11} {verdict.where}: {verdict.why}")
    for warning in verdict.warnings:
        print(f"note: {warning}", file=sys.stderr)
    return 0 if verdict.holds else 1


if __name__ == "__main__":
    sys.exit(main())
