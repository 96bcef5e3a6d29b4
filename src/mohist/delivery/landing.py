"""Stage 7, Merge: the change becomes part of its base branch, where that lives; nothing is forced, nothing happens twice.

    tip of the base ── holds the change ───────────────> merged
                    ├─ lost what it was built on ──────> failed: somebody pushed by force
                    ├─ went on ── merges cleanly ──────> back to verify, on the new tip
                    │          └─ conflicts ───────────> a gate; approved: back to implement on the new tip
                    └─ as it was ── no forge ──────────> pushed by lease
                                 └─ a forge ───────────> its request (`request`)

Whatever it waits for that tells nobody (a server that is down, CI, reviews, a branch that is checked out), it ends as
`waiting` and says when to look again.
"""

from __future__ import annotations

import dataclasses
from typing import Final, Protocol

from mohist.delivery.errors import ForgeAwayError
from mohist.delivery.forge.contract import Forge
from mohist.delivery.machine import LOOK, look_later, step_back
from mohist.delivery.port import Ground
from mohist.delivery.request import Harbour, Waits, pushed_key, requested
from mohist.delivery.stage import Context, Ended, ask, bounded, opened
from mohist.delivery.state import Delivery, Facts, Gate, Move, StageName
from mohist.sandbox import AwayError, InUseError, MovedError

MOST_MOVES: Final = 5
"""As often a change is verified anew because its base went on; then a person says when it is calm."""
_SOON_S: Final = 10.0
_LONGEST_S: Final = 300.0
_MOVES: Final = "base_moves"


class Shore(Ground, Protocol):
    """The ground, with the two operations that write into the user's repository."""

    async def contains(self, newer: str, older: str) -> bool: ...

    async def branch(self, branch: str) -> str: ...

    async def publish(self, commit: str, branch: str, expected: str | None) -> None: ...

    async def unpublish(self, branch: str, expected: str) -> None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class HomeHarbour:
    """The repository that the delivery was asked for in. Fills `Harbour`."""

    shore: Shore

    async def tip(self, branch: str) -> str:
        return await self.shore.branch(branch)

    async def push(self, commit: str, branch: str, expected: str) -> None:
        await self.shore.publish(commit, branch, expected or None)

    async def remove(self, branch: str, expected: str) -> None:
        await self.shore.unpublish(branch, expected)


async def run(context: Context, shore: Shore, harbour: Harbour | None = None, forge: Forge | None = None) -> Ended:
    """Merges.

    Args:
        context: of the attempt.
        shore: the delivery's ground.
        harbour: where the base branch lives; None: in the user's repository.
        forge: whose request the change goes through; None: it is pushed.
    """

    async def stage(inner: Context) -> Ended:
        try:
            return await _run(_Landing(inner, shore, harbour or HomeHarbour(shore), forge))
        except Waits as waits:
            return await _look_later(inner, waits.what, waits.after_s)
        except ForgeAwayError as error:
            return await _look_later(inner, error.what, error.retry_after_s)
        except AwayError as error:
            return await _look_later(inner, error.what)

    return await bounded(stage)(context)


@dataclasses.dataclass(frozen=True, slots=True)
class _Landing:
    context: Context
    shore: Shore
    harbour: Harbour
    forge: Forge | None


async def _run(at: _Landing) -> Ended:
    delivery = (await at.context.facts()).delivery
    base = delivery.base_branch
    if not base:
        return Ended("failed", "The head was detached: there is no branch to merge into. Begin on a branch.")
    if delivery.merged:
        return _done(delivery, delivery.merged)
    if delivery.attempt != at.context.attempt or not delivery.commit:
        return Ended("waiting", "the change is being made anew")
    tip = await at.harbour.tip(base)
    if not tip:
        return Ended("failed", f"There is no branch {base!r} where it is to be merged.")
    holds_it = await at.shore.contains(tip, delivery.commit)
    if holds_it and at.forge is None:
        return await _landed(at, delivery, delivery.commit)
    if not holds_it and not await at.shore.contains(tip, delivery.base_commit):
        await at.context.note("base", f"{base} was pushed by force", before=delivery.base_commit, now=tip)
        return Ended(
            "failed",
            f"{base} was rewritten: it stands on {tip[:12]}, which lacks {delivery.base_commit[:12]} that this was built "
            f"on. Merging would bring back what was taken out. The change is {delivery.commit[:12]}; begin anew on {base}.",
        )
    if at.forge is not None:
        merged = await requested(at.context, at.shore, at.harbour, at.forge, delivery, tip)
        return await (_landed(at, delivery, merged) if merged else _follow(at, delivery, tip))
    if not await at.shore.contains(delivery.commit, tip):
        return await _follow(at, delivery, tip)
    return await _push(at, delivery, tip)


async def _push(at: _Landing, delivery: Delivery, tip: str) -> Ended:
    """By lease on the tip that was looked at; that it was not there already was looked up just before."""
    context, base, key = at.context, delivery.base_branch, at.context.key(f"merge/push/{tip[:12]}")
    await ask(context.book.effect, key, "push")
    try:
        await at.harbour.push(delivery.commit, base, tip)
    except MovedError:
        raise Waits(f"{base} moved at the same time", 1.0) from None
    except InUseError:
        branch = delivery.branch
        await ask(context.book.effect, pushed_key(delivery, delivery.commit), "push")
        await at.harbour.push(delivery.commit, branch, await at.harbour.tip(branch))
        raise Waits(
            f"{base} is checked out, and is not moved behind its back: `git merge --ff-only {branch}` there"
        ) from None
    await ask(context.book.done, key, {"commit": delivery.commit, "branch": base, "before": tip})
    return await _landed(at, delivery, delivery.commit)


async def _landed(at: _Landing, delivery: Delivery, commit: str) -> Ended:
    merged = (await ask(at.context.book.move, delivery.delivery_id, lambda facts: _with_merged(facts, commit))).merged
    return _done(delivery, merged)


def _done(delivery: Delivery, merged: str) -> Ended:
    return Ended("done", f"{delivery.base_branch} holds it: {merged[:12]}")


def _with_merged(facts: Facts, commit: str) -> Move:
    """That it is merged, and the word of it, in one transaction."""
    row = facts.delivery
    if row.merged:
        return Move(row)
    options = {name: value for name, value in row.options.items() if name not in (LOOK, _MOVES)}
    told = ("merged", f"merged into {row.base_branch}: {commit[:12]}", {"commit": commit})
    return Move(dataclasses.replace(row, merged=commit, options=options), notes=(told,))


async def _follow(at: _Landing, delivery: Delivery, tip: str) -> Ended:
    """The base went on: the change with it, which is then verified like any other."""
    context, base = at.context, delivery.base_branch
    moves = int(delivery.options.get(_MOVES, 0)) + 1
    if moves > MOST_MOVES:
        return Ended(
            "failed", f"{base} went on {MOST_MOVES} times while this was verified. `mohist deliver retry merge`."
        )
    key = f"{context.key('merge')}/{tip[:12]}"
    folder = await at.shore.worktree(key, delivery.commit)
    text = f"Merge {base} into delivery {delivery.delivery_id}"
    conflicts = await at.shore.merge(folder, tip, text, {"Mohist-Delivery": delivery.delivery_id})
    commit = await at.shore.head(folder)
    await at.shore.drop(key)
    options = {name: value for name, value in delivery.options.items() if name != LOOK} | {_MOVES: moves}
    if not conflicts:
        told = f"{base} went on to {tip[:12]}; merged into the change, which is verified again"
        return await _back(context, "verify", told, commit=commit, base_commit=tip, options=options)
    subject = f"conflict with {base} at {tip[:12]}"
    facts = await context.facts()
    for gate in facts.gates:
        if (gate.subject, gate.digest, gate.status, gate.closed) == (subject, tip, "approved", False):
            return await _back(context, "implement", f"made anew on {tip[:12]}", base_commit=tip, options=options)
    asked = {"paths": list(conflicts), "approve": f"it is made anew on {tip[:12]}", "take-over": "resolve it yourself"}
    await opened(context, Gate("", "conflict", "merge", subject, tip, (), False, facts=asked))
    return Ended("waiting", f"{base} went on, and {', '.join(conflicts[:5])} conflict with it")


async def _back(context: Context, stage: StageName, told: str, **changes: object) -> Ended:
    def move(facts: Facts) -> Move:
        if facts.delivery.attempt != context.attempt or facts.delivery.merged:
            return Move(facts.delivery)
        made = step_back(facts, stage, context.clock.now_ms(), **changes)
        closes = tuple(
            g.gate_id for g in facts.gates if not g.closed and g.kind == "conflict" and g.status == "approved"
        )
        return dataclasses.replace(made, closes=closes, notes=(("base", told, {"stage": stage}),))

    await ask(context.book.move, context.delivery_id, move)
    return Ended("waiting", told)


async def _look_later(context: Context, what: str, after_s: float = 0.0) -> Ended:
    """Looks again after a quarter of the time that it has waited: soon at first, and never seldomer than every 5 minutes,
    but not before the other side said."""
    facts = await context.facts()
    now_ms = context.clock.now_ms()
    row = next((r for r in facts.stages if (r.stage, r.attempt) == ("merge", context.attempt)), None)
    waited_s = (now_ms - row.began_at_ms) / 1000 if row and row.began_at_ms else 0.0
    pause_s = max(after_s, min(_LONGEST_S, max(_SOON_S, waited_s / 4)))
    at_ms = now_ms + int(pause_s * 1000)

    def change(delivery: Delivery) -> Delivery:
        return look_later(delivery, "merge", at_ms) if delivery.attempt == context.attempt else delivery

    await ask(context.book.change, context.delivery_id, change)
    return Ended("waiting", what)
