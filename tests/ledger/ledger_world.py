"""A log with its keys, and its bundle, for tests in which others read or attack it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mohist.ledger import Draft, note
from mohist.ledger.export import export
from mohist.ledger.log import Log, Ready
from mohist.ledger.proof import Proof

ORIGIN = "log.example/test"
WITNESS = "witness.example/w1"
NOW_S = 1_790_000_000


@dataclass
class World:
    """The owner of a log: everything that is needed to write it, and to write it anew."""

    home: Path
    start_s: int = NOW_S
    """When the first entry is dated; each next one a second later."""
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    witness: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def log_key(self) -> note.VerifierKey:
        return note.VerifierKey(ORIGIN, note.ED25519, self.key.public_key().public_bytes_raw())

    @property
    def witness_key(self) -> note.VerifierKey:
        return note.VerifierKey(WITNESS, note.COSIGNATURE, self.witness.public_key().public_bytes_raw())

    @property
    def policy(self) -> str:
        return f"witness w1 {self.witness_key}\nquorum w1\n"

    def draft(self, number: int, salt: str = "") -> Ready:
        intent = number % 2 == 0
        return Ready(
            Draft(
                "model.intent" if intent else "model.response",
                f"run:{number % 5 // 2}",
                "key:abc",
                about={} if intent else {"intent": f"call {number - 1}"},
                data={"number": number, **({"salt": salt} if salt else {})},
                key=f"call {number}" if intent else "",
            ),
            at_us=(self.start_s + number) * 1_000_000,
        )

    def log(self, name: str, entries: list[Ready]) -> Log:
        """A log with these entries, under a name of its own."""
        log = Log(self.home / name / "log.db", ORIGIN)
        log.write(entries)
        return log

    def signed(self, log: Log, size: int, *, cosigned_s: int | None = None) -> note.SignedCheckpoint:
        """A checkpoint; cosigned when the last of its entries is dated, unless another time is said."""
        plain = note.Checkpoint(ORIGIN, size, log.root(size))
        time_s = self.start_s + size if cosigned_s is None else cosigned_s
        lines = (note.sign(plain, ORIGIN, self.key), note.cosign(plain, WITNESS, self.witness, time_s))
        return note.SignedCheckpoint(plain, lines)

    def bundle(self, log: Log, name: str, *, earlier: tuple[int, ...] = ()) -> Path:
        """Its export, with the checkpoints of these sizes before the last."""
        folder = self.home / name
        before = [self.signed(log, size) for size in earlier]
        export(log, folder, self.signed(log, log.size), earlier=before, policy=self.policy)
        return folder

    def proof(self, log: Log, index: int) -> Proof:
        return Proof(index, tuple(log.inclusion(index, log.size)), self.signed(log, log.size))
