"""Tiles: the tree's hashes in blocks of 256, as C2SP tlog-tiles v0.1.0 lays them out (https://c2sp.org/tlog-tiles).

Tile (level, index) holds the hashes of the full subtrees of 256^level leaves number index * 256 to index * 256 + 255.
"""

from __future__ import annotations

from collections.abc import Callable

from mohist.ledger.tree import HASH_BYTES, node_hash

HEIGHT = 8
WIDTH = 1 << HEIGHT
TILE_BYTES = WIDTH * HASH_BYTES

Source = Callable[[int, int], bytes]
"""(tile level, index) -> the tile's bytes; a partial one at the right edge."""


def path(level: int | str, index: int, width: int = WIDTH) -> str:
    """Where a tile or entry bundle (`level` "entries") lies: "tile/0/x001/234", "tile/1/000.p/12"."""
    groups = [f"{index % 1000:03d}"]
    while index >= 1000:
        index //= 1000
        groups.append(f"x{index % 1000:03d}")
    return f"tile/{level}/" + "/".join(reversed(groups)) + ("" if width == WIDTH else f".p/{width}")


def reader(source: Source) -> Callable[[int, int], bytes]:
    """Reads single hashes out of tiles; keeps those that it read."""
    kept: dict[tuple[int, int], bytes] = {}

    def read(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        tile_index, offset = divmod(index << height, WIDTH)
        place = (tile_level, tile_index)
        if place not in kept:
            kept[place] = source(*place)
        data = kept[place][offset * HASH_BYTES : (offset + (1 << height)) * HASH_BYTES]
        if len(data) != HASH_BYTES << height:
            raise ValueError(f"tile {path(*place)} is shorter than the tree needs")
        return fold(data)

    return read


def fold(hashes: bytes) -> bytes:
    """The root over a power of two of hashes, laid end to end."""
    nodes = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
    while len(nodes) > 1:
        nodes = [node_hash(nodes[at], nodes[at + 1]) for at in range(0, len(nodes), 2)]
    return nodes[0]
