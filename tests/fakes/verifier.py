"""A verification that runs the criteria's checks in a copy, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mohist.base import sha256_hex
from mohist.delivery.book import Book
from mohist.delivery.port import Ground
from mohist.delivery.state import Criterion, Delivery, Evidence
from mohist.delivery.verdict import Verified, verdict_of


@dataclass
class FakeVerifier:
    """`mohist.delivery.stage.Verifier`."""

    book: Book
    ground: Ground

    async def __call__(self, delivery: Delivery, criteria: Sequence[Criterion]) -> Verified:
        rows = []
        for one in criteria:
            for phase, commit in (("before", delivery.base_commit), ("after", delivery.commit)):
                key = f"{delivery.delivery_id}/{delivery.attempt}/verify/{one.criterion_id}/{phase}/{commit}"
                copy = await self.ground.copy(key, commit)
                ran = await self.ground.run(copy, one.check, 60.0)
                await self.ground.drop(key)
                row = Evidence(
                    key, delivery.attempt, "verify", one.criterion_id, phase, one.check, ran.exit_code,  # type: ignore[arg-type]
                    sha256_hex(ran.output), ran.output.decode(), 1, commit, "", 1, int(ran.exit_code == 0),
                )  # fmt: skip
                self.book.put_evidence(delivery.delivery_id, row)
                rows.append(row)
        return verdict_of(rows, criteria)
