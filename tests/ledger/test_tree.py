"""The tree against RFC 6962's recursive definition, written down here a second time."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mohist.ledger import tree


def defined(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, as it is written there."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + defined(leaves[:split]) + defined(leaves[split:])).digest()


class Grown:
    """A tree in memory."""

    def __init__(self, size: int) -> None:
        self.leaves = [f"leaf {number}".encode() for number in range(size)]
        self.edge = tree.Edge()
        self.nodes = {
            (level, index): node
            for leaf in self.leaves
            for level, index, node in self.edge.append(tree.leaf_hash(leaf))
        }

    def read(self, level: int, index: int) -> bytes:
        return self.nodes[level, index]


def test_the_edge_has_the_defined_root_at_every_size() -> None:
    leaves: list[bytes] = []
    edge = tree.Edge()
    assert edge.root() == defined([])
    for number in range(200):
        leaves.append(f"{number}".encode())
        edge.append(tree.leaf_hash(leaves[-1]))
        assert edge.root() == defined(leaves)
        assert tree.Edge(edge.size, edge.hashes).root() == edge.root()


def test_known_vectors() -> None:
    # From the reference tests of RFC 6962's authors (google/certificate-transparency): eight inputs and their root.
    inputs = [
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    ]  # fmt: skip
    edge = tree.Edge()
    for given_hex in inputs:
        edge.append(tree.leaf_hash(bytes.fromhex(given_hex)))
    assert edge.root().hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@given(st.data())
def test_an_inclusion_proof_leads_to_the_root_and_a_changed_one_does_not(data: st.DataObject) -> None:
    grown = Grown(data.draw(st.integers(1, 120)))
    size = data.draw(st.integers(1, len(grown.leaves)))
    index = data.draw(st.integers(0, size - 1))
    root = defined(grown.leaves[:size])
    leaf = tree.leaf_hash(grown.leaves[index])
    path = tree.inclusion_proof(index, size, grown.read)
    assert tree.root_of_inclusion(leaf, index, size, path) == root
    assert tree.root_of_inclusion(tree.leaf_hash(b"another"), index, size, path) != root
    for place in range(len(path)):
        broken = [*path[:place], bytes(32), *path[place + 1 :]]
        assert tree.root_of_inclusion(leaf, index, size, broken) != root
    with pytest.raises(ValueError, match="too long"):
        tree.root_of_inclusion(leaf, index, size, [*path, bytes(32)])
    if path:
        with pytest.raises(ValueError, match="too short"):
            tree.root_of_inclusion(leaf, index, size, path[:-1])


@given(st.data())
def test_a_consistency_proof_leads_to_both_roots_and_a_changed_one_does_not(data: st.DataObject) -> None:
    grown = Grown(data.draw(st.integers(1, 120)))
    new = data.draw(st.integers(1, len(grown.leaves)))
    old = data.draw(st.integers(1, new))
    roots = (defined(grown.leaves[:old]), defined(grown.leaves[:new]))
    path = tree.consistency_proof(old, new, grown.read)
    assert tree.roots_of_consistency(old, roots[0], new, path) == roots
    for place in range(len(path)):
        broken = [*path[:place], bytes(32), *path[place + 1 :]]
        assert tree.roots_of_consistency(old, roots[0], new, broken) != roots
    with pytest.raises(ValueError, match="too long"):
        tree.roots_of_consistency(old, roots[0], new, [*path, bytes(32)])
    if path:
        with pytest.raises(ValueError, match="too short"):
            tree.roots_of_consistency(old, roots[0], new, path[:-1])


@given(st.integers(0, 300), st.integers(1, 300))
def test_the_parts_of_a_range_cover_it_in_order(start: int, length: int) -> None:
    at = start
    for level, index in tree.subtrees(start, start + length):
        assert index << level == at
        at += 1 << level
    assert at == start + length


def test_what_is_not_there_has_no_proof() -> None:
    grown = Grown(5)
    with pytest.raises(ValueError, match="leaf 5"):
        tree.inclusion_proof(5, 5, grown.read)
    with pytest.raises(ValueError, match="no part"):
        tree.consistency_proof(6, 5, grown.read)
    with pytest.raises(ValueError, match="hashes"):
        tree.Edge(3, [bytes(32)])
