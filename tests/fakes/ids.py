"""Ids that count, so that a test can name them."""

from __future__ import annotations

from collections import Counter


class CountingIds:
    """Stands in for `mohist.base.IdSource`: `run-000001`, `run-000002`, `call-000001`, …"""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def new(self, kind: str) -> str:
        self._counts[kind] += 1
        return f"{kind}-{self._counts[kind]:06}"
