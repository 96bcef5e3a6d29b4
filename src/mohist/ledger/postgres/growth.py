"""What a batch adds to a log, worked out in memory: places, hashes, tiles. Pure; the rows are written by whoever asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from mohist.ledger.entry import Receipt, encode
from mohist.ledger.store import Ready
from mohist.ledger.tile import HEIGHT
from mohist.ledger.tree import Edge, leaf_hash


@dataclass(frozen=True, slots=True)
class Stream:
    """Where a stream stands."""

    number: int
    following: int
    """The number of its next entry."""
    last: bytes
    """Hash of its last entry; empty: it has none."""


@dataclass(frozen=True, slots=True)
class Row:
    """An entry with its place."""

    position: int
    stream: int
    sequence: int
    mark: bytes | None
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile that has become full."""

    level: int
    position: int
    fold: bytes
    hashes: bytes


class Growth:
    """A log that grows by a batch.

    Args:
        origin: the log's.
        edge: its right edge; a copy is grown.
        open_tiles: the hashes of the tile that is not full yet, for each level from the lowest; copied.
        streams: where the streams that are known stand.
        entered: receipts of drafts that were entered before, by their mark.
        next_stream: the number for the next new stream.
    """

    def __init__(
        self,
        origin: str,
        edge: Edge,
        open_tiles: Sequence[bytes],
        streams: dict[str, Stream],
        entered: dict[bytes, Receipt],
        next_stream: int,
    ) -> None:
        self.edge = Edge(edge.size, edge.hashes)
        self.open_tiles = [bytearray(one) for one in open_tiles]
        self.next_stream = next_stream
        self.streams: dict[str, Stream] = {}
        """Those that moved, as they stand now."""
        self.new_streams: list[tuple[int, str]] = []
        self.rows: list[Row] = []
        self.tiles: list[Tile] = []
        self._origin = origin
        self._known = streams
        self._entered = dict(entered)

    def enter(self, group: Sequence[Ready]) -> list[Receipt]:
        """Gives drafts their places, next to each other, all or none.

        Raises:
            EntryError: one has no form; none of them has a place.
        """
        streams: dict[str, Stream] = {}
        fresh: dict[bytes, Receipt] = {}
        new: list[tuple[int, str]] = []
        rows: list[tuple[Row, bytes]] = []
        receipts = []
        for ready in group:
            draft, mark = ready.draft, ready.mark
            if mark is not None and (before := fresh.get(mark) or self._entered.get(mark)) is not None:
                receipts.append(before)
                continue
            stream = streams.get(draft.stream) or self.streams.get(draft.stream) or self._known.get(draft.stream)
            if stream is None:
                stream = Stream(self.next_stream + len(new), 0, b"")
                new.append((stream.number, draft.stream))
            at_us = ready.at_us or time.time_ns() // 1000
            leaf = encode(
                draft,
                at_us=at_us,
                log=self._origin,
                sequence=stream.following,
                previous=stream.last.hex(),
                sealed=[content.sealed for content in ready.contents],
            )
            node, position = leaf_hash(leaf), self.edge.size + len(rows)
            rows.append((Row(position, stream.number, stream.following, mark, leaf), node))
            streams[draft.stream] = Stream(stream.number, stream.following + 1, node)
            receipt = Receipt(position, node, at_us, draft.stream, stream.following)
            receipts.append(receipt)
            if mark is not None:
                fresh[mark] = receipt
        for row, node in rows:
            self.rows.append(row)
            self._append(node)
        self.streams |= streams
        self._entered |= fresh
        self.new_streams += new
        self.next_stream += len(new)
        return receipts

    def _append(self, node: bytes) -> None:
        for level, index, whole in self.edge.append(node):
            tile_level, height = divmod(level, HEIGHT)
            if height:
                continue
            if tile_level:
                full = bytes(self.open_tiles[tile_level - 1])
                self.tiles.append(Tile(tile_level - 1, index, whole, full))
                self.open_tiles[tile_level - 1].clear()
            if len(self.open_tiles) == tile_level:
                self.open_tiles.append(bytearray())
            self.open_tiles[tile_level] += whole


def open_sizes(size: int) -> list[int]:
    """How many hashes the open tile of each level holds in a log of so many entries, from the lowest level on."""
    sizes = []
    while size:
        sizes.append(size % (1 << HEIGHT))
        size >>= HEIGHT
    return sizes
