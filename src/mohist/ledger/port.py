"""What the rest of Mohist asks of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from mohist.ledger.entry import Draft, Receipt


class Ledger(Protocol):
    """Takes entries. Safe from several threads; a receipt means durable."""

    def submit(self, draft: Draft) -> Future[Receipt]:
        """Enters a draft; the future ends when it is durable, with a LedgerError if it is not.

        The order of a caller's submissions is kept within a stream.
        """
        ...

    def append(self, draft: Draft) -> Receipt:
        """Same, waiting for it.

        Raises:
            LedgerError: it is not entered; what depends on it must not happen.
        """
        ...

    def extend(self, drafts: Sequence[Draft]) -> list[Receipt]:
        """Enters several, next to each other, all or none.

        Raises:
            LedgerError: none is entered.
        """
        ...
