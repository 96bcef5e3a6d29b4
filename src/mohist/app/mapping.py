"""Enters which runs a repository's commits come from: for a push hook, and after a delivery's merge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread

from mohist.app.evidence import Evidence
from mohist.app.inquiry import Inquiry, inquiry
from mohist.report.map import Mapped

if TYPE_CHECKING:
    from mohist.app.ledger import LedgerHome

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


async def map_merge(
    home: LedgerHome, evidence: Evidence, repository: Path, objects: Path, base: str, merged: str
) -> int:
    """Maps what a delivery brought in.

    Args:
        home: the ledger, for reading.
        evidence: the same, for entering.
        repository: that it was merged into.
        objects: of the delivery's own repository, which may be the only one that has the commits.
        base: what it was built on.
        merged: what holds it now.

    Returns:
        How many commits were mapped.

    Raises:
        MohistError: some were not.
    """
    async with inquiry(home, repository) as asked:
        asked.also(objects)
        commits = await asked.between(base, merged)
        return len([one async for one in enter_maps(asked, evidence, commits)])
