"""What every log can do, wherever it is kept: roots, proofs, and telling whether it is still what was entered.

Kept in a file of SQLite (`log`), or in PostgreSQL (`postgres`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar

from mohist.ledger.entry import Draft, Receipt, Sealed, decode
from mohist.ledger.errors import EntryError, SealedError
from mohist.ledger.pack import Packing, UnpackError
from mohist.ledger.tile import HEIGHT, WIDTH, fold, reader
from mohist.ledger.tree import EMPTY_ROOT, HASH_BYTES, Edge, consistency_proof, inclusion_proof, leaf_hash, range_hash

KEY_BYTES = 16
"""Of the digest by which a repeated draft is known; 2^64 drafts until two are taken for one by chance."""
LOOK = "Nothing is entered until a person has looked at it; `mohist ledger check` says more."


@dataclass(frozen=True, slots=True)
class SealedContent:
    """A content that is ready to be kept."""

    sealed: Sealed
    wrapped_key: bytes
    """Its key, under the subject's."""
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class Ready:
    """A draft whose contents are sealed."""

    draft: Draft
    contents: tuple[SealedContent, ...] = ()
    at_us: int = 0
    """When it happened, by the clock of whoever drafted it; 0: when it is written."""
    retry_key: str = ""
    """Known by it if it comes again, without being entered; for the way to the writer."""

    @property
    def mark(self) -> bytes | None:
        """By which it is known if it comes again; None: by nothing."""
        # Who sends again sends the same draft: its own key is enough where it has one.
        key = self.draft.key or self.retry_key
        return mark(key) if key else None


def mark(key: str) -> bytes:
    """The digest of a draft's key."""
    return sha256(key.encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES]


class Store(ABC):
    """A log, open. Used by one thread at a time."""

    origin: str
    """The log's name, as in checkpoints."""
    edge: Edge
    """Its right edge, as of the last `refresh` or `write`."""
    shown: str
    """Where it is, for messages."""
    _packing: Packing
    one_machine: ClassVar[bool] = False
    """Whether all that is in it was sealed here: a content's key that is not here is lost then, and not another machine's."""
    _unreadable: ClassVar[tuple[type[Exception], ...]] = (UnpackError,)
    """What says that something which lies there is not what was written."""

    @property
    def size(self) -> int:
        """Entries so far."""
        return self.edge.size

    @abstractmethod
    def close(self) -> None:
        """Lets go of it."""

    @abstractmethod
    def refresh(self) -> None:
        """Sees what another process has written since."""

    @abstractmethod
    def write(self, batch: Sequence[Ready]) -> list[Receipt]:
        """Enters a batch in one durable transaction, in its order.

        Raises:
            LedgerError: nothing of it is entered.
        """

    @abstractmethod
    def leaves(self, start: int, end: int) -> Iterator[bytes]:
        """Entries [start, end), as they were entered."""

    @abstractmethod
    def stream(self, name: str) -> Iterator[tuple[int, bytes]]:
        """A stream's entries in order, each with its index."""

    @abstractmethod
    def find(self, key: str) -> int | None:
        """The index of the entry that was drafted under a key."""

    @abstractmethod
    def payload(self, digest: str) -> tuple[str, bytes, bytes | None] | None:
        """A sealed content by its ciphertext's digest, or by its commitment where it is not kept.

        Returns:
            Its key's id, its wrapped key, the ciphertext unless that is not there.
        """

    @abstractmethod
    def _counted(self) -> int:
        """How many entries there are by the entries themselves, at the same moment as `edge`, which this refreshes."""

    @abstractmethod
    def _rows(self) -> Iterator[tuple[int, bytes, int, str]]:
        """(index, leaf, number in its stream, name of the stream) of all entries, in order."""

    @abstractmethod
    def _stored(self, level: int, position: int) -> bytes:
        """A full tile; empty: there is none."""

    @abstractmethod
    def _folds(self, level: int, start: int, end: int) -> bytes:
        """The roots of full tiles [start, end) of a level, as they were folded when each was full."""

    def tile(self, level: int, position: int) -> bytes:
        """A tile; at the right edge a partial one."""
        return self._stored(level, position) or self._made(level, position)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The path from an entry to the root of the first `size`."""
        return inclusion_proof(index, size, reader(self.tile))

    def consistency(self, old: int, new: int) -> list[bytes]:
        """That the first `old` entries are still the first of `new`."""
        return consistency_proof(old, new, reader(self.tile))

    def root(self, size: int) -> bytes:
        """Of the first `size` entries."""
        if size == self.edge.size:
            return self.edge.root()
        return self._root_of_tiles(size)

    def recompute(self) -> None:
        """Builds the right edge anew from the entries and tiles that are stored.

        Raises:
            SealedError: it is not the one that was stored with them.
        """
        broken: tuple[type[Exception], ...] = (ValueError, *self._unreadable)
        try:
            count = self._counted()
            root = self._root_of_tiles(count)
        except broken as error:
            raise SealedError(f"The ledger at {self.shown} lacks part of its tree: {error}.", LOOK) from error
        if count != self.edge.size or root != self.edge.root():
            raise SealedError(f"The right edge of the ledger at {self.shown} is not that of its {count} entries.", LOOK)

    def scrub(self, tell: Callable[[int, int], None] | None = None) -> None:
        """Hashes every entry again and compares all tiles: what a flipped bit can't survive.

        Raises:
            SealedError: names the first entry or tile that is not what it was.
        """
        try:
            self._scrub(tell)
        except EntryError as error:
            raise SealedError(
                f"An entry of the ledger at {self.shown} is not what it was: {error.what}", LOOK
            ) from error
        except self._unreadable as error:
            raise SealedError(f"The ledger at {self.shown} can't be read: {error}.", LOOK) from error

    def _scrub(self, tell: Callable[[int, int], None] | None) -> None:
        edge = Edge()
        # Numbers and names of streams stand beside entries and in them: what is shown as a stream is ordered by the former.
        for position, leaf, sequence, stream in self._rows():
            if position != edge.size:
                raise SealedError(f"Entry {edge.size} of the ledger at {self.shown} is missing.", LOOK)
            if (said := decode(leaf))["seq"] != sequence or said["stream"] != stream:
                raise SealedError(
                    f"Entry {position} of the ledger at {self.shown} is not kept in its stream's place.", LOOK
                )
            for level, index, node in edge.append(leaf_hash(leaf)):
                if level and level % HEIGHT == 0 and not self._holds(level // HEIGHT - 1, index, node):
                    where = f"entries {index << level} to {((index + 1) << level) - 1}"
                    raise SealedError(
                        f"Of {where} of the ledger at {self.shown}, one is not what it was, or their tile is not.", LOOK
                    )
            if tell is not None and edge.size % WIDTH == 0:
                tell(edge.size, self.edge.size)
        if (edge.size, edge.hashes) != (self.edge.size, self.edge.hashes):
            raise SealedError(f"The last entries of the ledger at {self.shown} are not what they were.", LOOK)

    def _made(self, level: int, position: int) -> bytes:
        start = position * WIDTH
        if level == 0:
            return b"".join(leaf_hash(leaf) for leaf in self.leaves(start, start + WIDTH))
        # A tile above begins to exist when a full one below it does. Folded once, when that was full: 255 tiles folded anew
        # for each proof took 37 ms.
        return self._folds(level - 1, start, start + WIDTH)

    def _holds(self, level: int, position: int, node: bytes) -> bool:
        """Whether a full tile is what is below it, and its fold is `node`."""
        stored = self._stored(level, position)
        kept = self._folds(level, position, position + 1)
        return stored == self._made(level, position) and fold(stored) == node == kept

    def _root_of_tiles(self, size: int) -> bytes:
        return range_hash(0, size, reader(self.tile)) if size else EMPTY_ROOT

    def _leaf(self, position: int, stored: bytes) -> bytes:
        """An entry out of what is kept of it."""
        try:
            return self._packing.unpack(stored)
        except UnpackError as error:
            raise SealedError(
                f"Entry {position} of the ledger at {self.shown} is not what it was: {error.what}.", LOOK
            ) from error

    def _edge(self, size: int, hashes: bytes) -> Edge:
        """The right edge out of what is kept of it."""
        if len(hashes) % HASH_BYTES or len(hashes) // HASH_BYTES != size.bit_count():
            raise SealedError(f"The ledger at {self.shown} has a damaged right edge.", LOOK)
        return Edge(size, [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)])
