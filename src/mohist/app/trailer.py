"""What a delivery's commits say of where they come from, as `ledger.trailers` has it.

Trailers die when commits are squashed: they are for readers, and the ledger is the truth (`mohist trace`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from mohist.app.evidence import Evidence
from mohist.delivery.chronicle import first_key

ENTRY: Final = "Ledger-Entry"
RUN: Final = "Mohist-Run"
MODEL: Final = "Mohist-Model"


def trailers_of(evidence: Evidence, delivery_id: str) -> Callable[[Mapping[str, str]], Mapping[str, str]]:
    """What is made of a commit's trailers.

    off: nothing of runs and models. run: as they are. entry: with the entry of the ledger that the run begins with, or the
    delivery where a commit is no run's. Delivery and task stay in any case: by them the delivery finds its own work again.
    """
    policy = evidence.settings.trailers

    def made(trailers: Mapping[str, str]) -> Mapping[str, str]:
        if policy == "off":
            return {name: value for name, value in trailers.items() if name not in (RUN, MODEL)}
        if policy == "run" or not evidence.home.exists:
            return trailers
        run = trailers.get(RUN)
        log = evidence.home.read()
        try:
            index = log.find(f"run:{run}/0" if run else first_key(delivery_id))
            return trailers if index is None else {**trailers, ENTRY: f"{log.origin}#{index}"}
        finally:
            log.close()

    return made
