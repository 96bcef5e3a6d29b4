"""Proofs that travel: C2SP tlog-proof files, one entry each."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mohist.ledger import note, tree
from mohist.ledger.errors import ProofError

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PATH = 63
CANDIDATES = 32
"""Checkpoints that are compared for one proof: at one in ten seconds, those of five minutes."""


@dataclass(frozen=True, slots=True)
class Proof:
    """That an entry is in a log."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: note.SignedCheckpoint

    def __str__(self) -> str:
        path = "".join(f"{b64encode(one).decode()}\n" for one in self.path)
        return f"{HEADER}\nindex {self.index}\n{path}\n{self.checkpoint}"

    @classmethod
    def parse(cls, text: str) -> Proof:
        """Reads one; verifies nothing.

        Raises:
            ProofError: it has not the form.
        """
        head, separator, rest = text.partition("\n\n")
        lines = head.split("\n")
        if not separator or lines[0] != HEADER:
            raise ProofError(f"A proof begins with {HEADER!r}; this does not.")
        if len(lines) > 1 and lines[1].startswith("extra "):
            del lines[1]
        number = lines[1].removeprefix("index ") if len(lines) > 1 and lines[1].startswith("index ") else ""
        if not (number.isascii() and number.isdigit() and (number == "0" or number[0] != "0")):
            raise ProofError("A proof's second line names the entry's index; this one's does not.")
        if len(lines) - 2 > MAX_PATH:
            raise ProofError(f"A proof has {len(lines) - 2} hashes; no tree needs more than {MAX_PATH}.")
        path = tuple(note.decoded_hash(line, f"line {at + 3} of a proof") for at, line in enumerate(lines[2:]))
        return cls(int(number), path, note.parse(rest))

    def verify(self, leaf: bytes) -> None:
        """That these are the bytes of the entry, under the checkpoint's root. Signatures are the caller's to judge.

        Raises:
            ProofError: they are not.
        """
        checkpoint = self.checkpoint.checkpoint
        try:
            root = tree.root_of_inclusion(tree.leaf_hash(leaf), self.index, checkpoint.size, self.path)
        except ValueError as error:
            raise ProofError(f"The proof of entry {self.index} can't be followed: {error}.") from error
        if root != checkpoint.root:
            raise ProofError(
                f"Entry {self.index} is not in {checkpoint.origin} at size {checkpoint.size} as it is shown.",
                "The entry, the proof or the checkpoint was changed.",
            )


def best(
    index: int,
    checkpoints: Iterable[note.SignedCheckpoint],
    path: Callable[[int, int], Sequence[bytes]],
    witnesses: Sequence[note.VerifierKey] = (),
    quorum: int = 0,
) -> Proof | None:
    """The proof of an entry that says most in least room.

    Any checkpoint that covers an entry proves it for good. One that was made soon after it says best when the entry was there at the
    latest, and needs about half the hashes: to its right there is little yet.

    Args:
        index: of the entry.
        checkpoints: to choose from; those that don't cover it are passed over.
        path: (index, size) -> inclusion proof.
        witnesses: whose cosignatures count.
        quorum: how many of them are enough; up to that, more count more than a shorter proof.

    Returns:
        None: no checkpoint covers the entry.

    Raises:
        ProofError: a cosignature is false.
    """
    covering = [one for one in checkpoints if one.checkpoint.size > index]
    if not covering:
        return None

    def rank(one: note.SignedCheckpoint) -> tuple[int, int, int]:
        seen = sum(one.witnessed_by(key) is not None for key in witnesses)
        size = one.checkpoint.size
        return -min(seen, quorum), len(tree.inclusion_proof(index, size, _no_hash)), size

    chosen = min(covering, key=rank)
    return Proof(index, tuple(path(index, chosen.checkpoint.size)), chosen)


def _no_hash(_level: int, _index: int) -> bytes:
    return bytes(tree.HASH_BYTES)
