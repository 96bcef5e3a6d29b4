"""Stage 7 in its plain form: the change becomes the tip of its base branch in the user's repository, by compare-and-swap.

Where the branch went on meanwhile it is merged in first; a conflict ends the stage. Nothing is forced.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

from mohist.delivery.port import Ground
from mohist.delivery.stage import Context, Ended, ask, bounded
from mohist.delivery.state import Delivery

_STEP = "merge"


class Shore(Ground, Protocol):
    """The ground, with the one operation that writes into the user's repository."""

    async def contains(self, newer: str, older: str) -> bool: ...

    async def publish(self, commit: str, branch: str, expected: str | None) -> None: ...


async def run(context: Context, shore: Shore) -> Ended:
    """Merges."""

    async def stage(inner: Context) -> Ended:
        return await _run(inner, shore)

    return await bounded(stage)(context)


async def _run(context: Context, shore: Shore) -> Ended:
    delivery = (await context.facts()).delivery
    if not delivery.base_branch:
        return Ended("failed", "The head was detached: there is no branch to merge into. Begin on a branch.")
    if not delivery.merged:
        merged = await _merged(context, shore, delivery)
        if not merged:
            return Ended("failed", f"{delivery.base_branch} went on, and the change conflicts with it.")
        await ask(context.book.change, context.delivery_id, lambda row: dataclasses.replace(row, merged=merged))
        await context.note("merged", f"merged into {delivery.base_branch}: {merged[:12]}", commit=merged)
        delivery = dataclasses.replace(delivery, merged=merged)
    return Ended("done", f"{delivery.base_branch} is at {delivery.merged[:12]}")


async def _merged(context: Context, shore: Shore, delivery: Delivery) -> str:
    tip = await shore.resolve(f"refs/heads/{delivery.base_branch}")
    if await shore.contains(tip, delivery.commit):
        return delivery.commit
    commit = delivery.commit
    if not await shore.contains(commit, tip):
        key = f"{context.key(_STEP)}/{tip[:12]}"
        folder = await shore.worktree(key, tip)
        message = f"Merge delivery {delivery.delivery_id}"
        conflicts = await shore.merge(folder, delivery.commit, message)
        commit = await shore.head(folder)
        await shore.drop(key)
        if conflicts:
            return ""
    await shore.publish(commit, delivery.base_branch, tip)
    return commit
