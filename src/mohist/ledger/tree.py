"""The Merkle tree of RFC 6962, section 2.1: hashes, the right edge, proofs and their verification. Pure.

`Reader` gives the hash of a full subtree; where those are kept (tiles, memory) is not this module's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()

Reader = Callable[[int, int], bytes]
"""(level, index) -> hash of the full subtree of 2^level leaves that begins at leaf index * 2^level."""


def leaf_hash(entry: bytes) -> bytes:
    """Of a leaf's exact bytes."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Of an inner node."""
    return sha256(b"\x01" + left + right).digest()


class Edge:
    """The right edge of a growing tree: the full subtrees that it is made of, largest first.

    Args:
        size: leaves so far.
        hashes: one for each bit set in `size`, from the highest.

    Raises:
        ValueError: the number of hashes does not fit the size.
    """

    __slots__ = ("hashes", "size")

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.hashes = list(hashes)
        if len(self.hashes) != size.bit_count():
            raise ValueError(f"an edge of {size} leaves has {size.bit_count()} hashes, not {len(self.hashes)}")

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Adds a leaf's hash; returns the full subtrees that this completed, as (level, index, hash), smallest first."""
        made = [(0, self.size, leaf)]
        index, level, node = self.size, 0, leaf
        while index & 1:
            node = node_hash(self.hashes.pop(), node)
            index >>= 1
            level += 1
            made.append((level, index, node))
        self.hashes.append(node)
        self.size += 1
        return made

    def root(self) -> bytes:
        """Of the whole tree."""
        if not self.hashes:
            return EMPTY_ROOT
        node = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            node = node_hash(left, node)
        return node


def subtrees(start: int, end: int) -> list[tuple[int, int]]:
    """The full subtrees (level, index) that cover leaves [start, end) from left to right, as large as alignment allows."""
    parts = []
    while start < end:
        level = min(
            start.bit_length() if start == 0 else (start & -start).bit_length() - 1, (end - start).bit_length() - 1
        )
        if start == 0:
            level = end.bit_length() - 1
        parts.append((level, start >> level))
        start += 1 << level
    return parts


def range_hash(start: int, end: int, read: Reader) -> bytes:
    """MTH(D[start:end]) where `start` is aligned as RFC 6962 splits: the root of that part of the tree."""
    nodes = [read(level, index) for level, index in subtrees(start, end)]
    node = nodes.pop()
    while nodes:
        node = node_hash(nodes.pop(), node)
    return node


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_proof(index: int, size: int, read: Reader) -> list[bytes]:
    """The path from leaf `index` to the root of the first `size` leaves (RFC 6962, 2.1.1).

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not among {size}")
    path = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(range_hash(middle, end, read))
            end = middle
        else:
            path.append(range_hash(start, middle, read))
            start = middle
    return path[::-1]


def consistency_proof(old: int, new: int, read: Reader) -> list[bytes]:
    """That the first `old` leaves of the first `new` are what they were (RFC 6962, 2.1.2); empty for 0 or equal sizes.

    Raises:
        ValueError: `old` is the larger.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} has no part of {old}")
    if old in (0, new):
        return []
    path = []
    start, end, whole = 0, new, True
    while old - start != end - start:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(range_hash(middle, end, read))
            end = middle
        else:
            path.append(range_hash(start, middle, read))
            start, whole = middle, False
    if not whole:
        path.append(range_hash(start, end, read))
    return path[::-1]


def root_of_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that a path leads to (RFC 9162, 2.1.3.2).

    Raises:
        ValueError: the path has the wrong length, or there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not among {size}")
    first, last, node = index, size - 1, leaf
    for beside in path:
        if last == 0:
            raise ValueError("the path is too long")
        if first & 1 or first == last:
            node = node_hash(beside, node)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            node = node_hash(node, beside)
        first, last = first >> 1, last >> 1
    if last:
        raise ValueError("the path is too short")
    return node


def roots_of_consistency(old: int, old_root: bytes, new: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The old and the new root that a consistency path leads to (RFC 9162, 2.1.4.2).

    Raises:
        ValueError: the path has the wrong length, or the sizes are in the wrong order.
    """
    if not 0 < old <= new:
        raise ValueError(f"nothing leads from {old} to {new} leaves")
    if old == new:
        if path:
            raise ValueError("the path is too long")
        return old_root, old_root
    nodes = [old_root, *path] if old & (old - 1) == 0 else list(path)
    if not nodes:
        raise ValueError("the path is too short")
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    left = right = nodes[0]
    for beside in nodes[1:]:
        if last == 0:
            raise ValueError("the path is too long")
        if first & 1 or first == last:
            left, right = node_hash(beside, left), node_hash(beside, right)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            right = node_hash(right, beside)
        first, last = first >> 1, last >> 1
    if last:
        raise ValueError("the path is too short")
    return left, right
