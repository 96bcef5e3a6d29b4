"""Enters which runs a repository's commits come from: for a push hook, and after a delivery's merge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from anyio import to_thread

from mohist.app.evidence import Evidence
from mohist.app.inquiry import Inquiry, inquiry
from mohist.base import MohistError
from mohist.delivery.state import Delivery
from mohist.report.map import Mapped

MAX_COMMITS = 1000
"""Looked at where no range is named: the newest."""


async def enter_maps(asked: Inquiry, evidence: Evidence, commits: Sequence[str]) -> AsyncIterator[tuple[Mapped, int]]:
    """Maps commits, and enters each; with the index of its entry.

    Raises:
        LedgerError: one is not entered.
    """
    repository = evidence.name("repository", str(asked.root))
    async for mapped in asked.mapped(commits):
        receipt = await to_thread.run_sync(evidence.append, mapped.draft(repository))
        yield mapped, receipt.index


async def map_delivery(evidence: Evidence, delivery: Delivery, objects: Path) -> str:
    """Maps what a delivery brought in.

    Args:
        evidence: the ledger.
        delivery: that is merged.
        objects: of its own repository, which may be the only one here that has the commits.

    Returns:
        What could not be done; empty: it is done.
    """
    try:
        async with inquiry(evidence.home, Path(delivery.repository)) as asked:
            asked.also(objects)
            commits = await asked.between(delivery.base_commit, delivery.merged)
            async for _ in enter_maps(asked, evidence, commits):
                pass
    except MohistError as error:
        return f"its commits are not mapped to runs ({error.what} `mohist trace map` does it)"
    return ""
