"""Brings one commit into one environment, and takes it back when it is sick.

    (none) ── prepare ──> prepared ── activate ──> activating ──> baking ── healthy ──> committed
                │                        │                          │
                └── can't: rolled-back   └───────── sick ───────────┴──> rolling-back ──> rolled-back | failed

The row is written before what it names begins, so that whoever comes after a kill knows what may have happened; every
step of a target may be repeated. `rolled-back` always means that what served before serves (again), and answers.
`failed` means that nobody knows that: it alarms.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import anyio
from anyio import to_thread

from mohist.base import Clock, canonical_json, sha256_hex
from mohist.delivery.artefact import make_artefact
from mohist.delivery.book import Book
from mohist.delivery.environment import BuildSpec, Environment
from mohist.delivery.errors import BusyError, TargetError, UnreachableError
from mohist.delivery.health import Health, Verdict, sample_latency, watch
from mohist.delivery.port import Ground
from mohist.delivery.state import Delivery, Release
from mohist.delivery.target.contract import ReleaseFacts, Target

_T = TypeVar("_T")
Sleep = Callable[[float], Awaitable[None]]

OPEN = ("prepared", "activating", "baking", "rolling-back")
_SHORT = 12
_FIRST_WAIT_S, _LAST_WAIT_S, _BUSY_WAIT_S = 0.5, 8.0, 2.0
_CANARY_BAKE = 0.5
"""Each step of a canary bakes this part of the whole time; the last one all of it."""


def release_id(delivery: Delivery, environment: str, commit: str, turn: int = 0) -> str:
    """The same for the same delivery, attempt, environment, commit and turn: the key of every effect of a deploy."""
    told = [delivery.delivery_id, delivery.attempt, environment, commit, turn]
    return f"rel-{commit[:_SHORT]}-{sha256_hex(canonical_json(told))[:8]}"


def version_of(environment: Environment, commit: str, release: str) -> str:
    """What a right answer names, and the release is told as `MOHIST_VERSION`."""
    known = {"{commit}": commit, "{short}": commit[:_SHORT], "{release}": release}
    version = environment.probe.expect
    for name, value in known.items():
        version = version.replace(name, value)
    return version


async def deploy(
    delivery: Delivery,
    environment: Environment,
    commit: str,
    book: Book,
    ground: Ground,
    target: Target,
    clock: Clock,
    *,
    build: BuildSpec | None = None,
    irreversible: tuple[str, ...] = (),
    turn: int = 0,
    sleep: Sleep = anyio.sleep,
) -> Release:
    """Deploys, or goes on with what a killed process left; a release that came to an end is returned as it is.

    Args:
        irreversible: what this change can't take back. Approved elsewhere; here it means that nothing is taken back
            automatically once it is active.
        turn: counts deploys of the same commit that people asked to try again.

    Raises:
        BusyError: another release was under way here for too long; nothing was touched.
        TargetError: the artefact could not be made; nothing was touched.
    """
    course = await _course(delivery, environment, commit, book, target, clock, turn, sleep)
    row = course.row
    if row is not None and row.status not in OPEN:
        return row
    course.irreversible = irreversible
    if row is None:
        await course.wait_for_turn()
    if row is None or row.status == "prepared":
        folder = await make_artefact(delivery, commit, build or BuildSpec(), book, ground)
        course.facts = replace(course.facts, folder=folder)
    return await course.run()


async def take_back(
    delivery: Delivery,
    environment: Environment,
    release: Release,
    book: Book,
    target: Target,
    clock: Clock,
    because: str,
    *,
    sleep: Sleep = anyio.sleep,
) -> Release:
    """Rolls a release back because a person (or a cancel) says so: one under way, or the one that is active.

    What can't be taken back is theirs to think of: this does not ask.

    Raises:
        TargetError: it does not serve any more, or another release is under way.
    """
    if release.status == "rolled-back":
        return release
    if release.status == "committed" and (await target.status()).active != release.release_id:
        raise TargetError(f"Release {release.release_id!r} does not serve in {environment.name} any more.")
    course = await _course(delivery, environment, release.commit, book, target, clock, 0, sleep)
    course.row = release
    course.facts = replace(course.facts, release_id=release.release_id)
    return await course.roll_back(because)


async def _course(
    delivery: Delivery,
    environment: Environment,
    commit: str,
    book: Book,
    target: Target,
    clock: Clock,
    turn: int,
    sleep: Sleep,
) -> _Course:
    name = release_id(delivery, environment.name, commit, turn)
    # An empty folder's place: only `prepare` reads the artefact, and a resume behind it may find it gone.
    facts = ReleaseFacts(name, commit, Path("/nonexistent"), version_of(environment, commit, name), environment.name)
    course = _Course(delivery, environment, facts, book, target, clock, sleep)
    course.row = await course.find(name)
    return course


@dataclass(slots=True)
class _Course:
    """One release on its way through one environment."""

    delivery: Delivery
    environment: Environment
    facts: ReleaseFacts
    book: Book
    target: Target
    clock: Clock
    sleep: Sleep
    irreversible: tuple[str, ...] = ()
    row: Release | None = None
    before_ms: float = field(default=0.0)

    async def run(self) -> Release:
        try:
            if self.row is None or self.row.status == "prepared":
                await self._prepare()
            assert self.row is not None
            if self.row.status == "rolling-back":
                return await self.roll_back(self.row.detail)
            if self.row.status in ("prepared", "activating"):
                verdict = await self._activate()
                if verdict.phase == "sick":
                    return await self._sick(verdict.reason)
            verdict = await self._watch(100, self.environment.probe.bake_s)
            if verdict.phase == "sick":
                return await self._sick(verdict.reason)
            # The target is ours until it is committed: where another has it, that happened before a kill.
            with suppress(BusyError):
                await self._firmly(lambda: self.target.commit(self.facts))
        except BusyError as error:  # the target is another's: nothing of ours is there to be taken back
            await self._put("rolled-back", f"Never activated: {error}")
            raise
        except TargetError as error:
            return await self._sick(str(error))
        told = f"{self.facts.release_id} serves in {self.environment.name}: {verdict.reason}."
        await self._put("committed", verdict.reason, note=("deploy", told))
        assert self.row is not None
        return self.row

    async def wait_for_turn(self) -> None:
        """Until no other release is under way in this environment. Raises BusyError when that takes too long."""
        began_s = self.clock.monotonic_s()
        while True:
            rows = await to_thread.run_sync(self.book.releases, "", self.environment.name)
            others = [row for row in rows if row.status in OPEN and row.release_id != self.facts.release_id]
            if not others:
                return
            if self.clock.monotonic_s() - began_s >= self.environment.busy_s:
                raise BusyError(
                    f"Release {others[0].release_id!r} is under way in {self.environment.name}.",
                    "Resume or cancel its delivery.",
                )
            await self.sleep(_BUSY_WAIT_S)

    async def find(self, name: str) -> Release | None:
        rows = await to_thread.run_sync(self.book.releases, self.delivery.delivery_id, self.environment.name)
        return next((row for row in rows if row.release_id == name), None)

    async def _prepare(self) -> None:
        if self.row is None:
            standing = await self._firmly(self.target.status)
            await self._put("prepared", "", previous=standing.active)
        await self._in_turn(lambda: self._firmly(lambda: self.target.prepare(self.facts)))
        # From here on the target is ours alone; who was at it until now may have changed what serves.
        standing = await self._firmly(self.target.status)
        assert self.row is not None
        if standing.active not in (self.facts.release_id, self.row.previous):
            await self._put("prepared", "", previous=standing.active)

    async def _in_turn(self, step: Callable[[], Awaitable[None]]) -> None:
        began_s = self.clock.monotonic_s()
        while True:
            try:
                return await step()
            except BusyError:
                if self.clock.monotonic_s() - began_s >= self.environment.busy_s:
                    raise
            await self.sleep(_BUSY_WAIT_S)

    async def _activate(self) -> Verdict:
        """Beside first where the target can, then by shares; the last share's bake is the caller's."""
        assert self.row is not None
        if self.row.status == "prepared":
            if self.row.previous and self.environment.probe.latency_ratio:
                self.before_ms = await sample_latency(lambda: self.target.probe(self.facts), self.sleep)
            if "in-place" not in self.target.strategies:
                verdict = await self._watch(0, 0, beside=True)
                if verdict.phase == "sick":
                    return verdict
            await self._put("activating", "")
        for weight in self.environment.weights if self.environment.how == "canary" and self.row.previous else ():
            await self._firmly(lambda share=weight: self.target.activate(self.facts, share))  # type: ignore[misc]
            verdict = await self._watch(weight, self.environment.probe.bake_s * _CANARY_BAKE)
            if verdict.phase == "sick":
                return verdict
        await self._firmly(lambda: self.target.activate(self.facts))
        await self._put("baking", "")
        return Verdict("bake")

    async def _watch(self, weight: int, bake_s: float, *, beside: bool = False) -> Verdict:
        # Below 100 % either version is a right answer; how the new one does by itself is asked beside.
        rule = replace(self.environment.probe.rule, bake_s=bake_s)
        beside = beside or weight < 100
        health = Health(rule, self._named(self.facts.version), self.before_ms)
        return await watch(health, lambda: self.target.probe(self.facts, beside=beside), self.clock, self.sleep)

    async def _sick(self, reason: str) -> Release:
        assert self.row is not None
        if self.irreversible and self.row.status != "prepared":
            named = ", ".join(self.irreversible)
            return await self._alarm(f"{reason} Not taken back by itself, because this can't be: {named}.")
        return await self.roll_back(reason)

    async def roll_back(self, reason: str) -> Release:
        """Takes it back, and asks whether what served before does again."""
        assert self.row is not None
        before, previous = self.row, self.row.previous
        await self._put("rolling-back", reason)
        try:
            await self._firmly(lambda: self.target.rollback(self.facts, previous))
        except BusyError as error:
            if before.status in ("committed", "failed"):
                await self._put(before.status, before.detail)
                raise
            if before.status in ("prepared", "rolling-back"):  # never had it, or gave it back before a kill
                await self._put("rolled-back", reason)
                return self.row
            return await self._alarm(f"{reason} And the rollback failed: {error}")
        except TargetError as error:
            return await self._alarm(f"{reason} And the rollback failed: {error}")
        if previous:
            verdict = await self._watch_previous(previous)
            if verdict.phase == "sick":
                return await self._alarm(f"{reason} And {previous!r} is not well after the rollback: {verdict.reason}")
        left = f"{previous} serves" if previous else "nothing was there before"
        told = f"{self.facts.release_id} was taken back in {self.environment.name}: {reason} ({left})"
        await self._put("rolled-back", reason, note=("rollback", told))
        return self.row

    async def _watch_previous(self, previous: str) -> Verdict:
        rows = await to_thread.run_sync(self.book.releases, "", self.environment.name)
        known = next((row for row in rows if row.release_id == previous), None)
        expected = self._named(version_of(self.environment, known.commit, previous)) if known is not None else ""
        # The same version may be released twice: then nothing tells them apart, and nothing need.
        unwanted = self._named(self.facts.version) if known is None else ""
        health = Health(replace(self.environment.probe.rule, bake_s=0), expected, unwanted=unwanted)
        return await watch(health, lambda: self.target.probe(self.facts), self.clock, self.sleep)

    def _named(self, version: str) -> str:
        """What answers are held to; where they name nothing, nothing."""
        return version if self.environment.probe.version else ""

    async def _alarm(self, detail: str) -> Release:
        told = f"{self.facts.release_id} in {self.environment.name}: {detail}"
        await self._put("failed", detail, note=("alarm", told))
        assert self.row is not None
        return self.row

    async def _firmly(self, step: Callable[[], Awaitable[_T]]) -> _T:
        """Tries again while the target can't be reached, for as long as the environment has patience."""
        began_s = self.clock.monotonic_s()
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                return await step()
            except UnreachableError:
                if self.clock.monotonic_s() - began_s + wait_s > self.environment.patience_s:
                    raise
            await self.sleep(wait_s)
            wait_s = min(wait_s * 2, _LAST_WAIT_S)

    async def _put(
        self, status: Any, detail: str, previous: str | None = None, note: tuple[str, str] | None = None
    ) -> None:
        """With the note in the same transaction: an end that nobody is told of, or twice, there is not."""
        kept = self.row.previous if self.row is not None else ""
        self.row = Release(
            release_id=self.facts.release_id,
            environment=self.environment.name,
            commit=self.facts.commit,
            status=status,
            previous=kept if previous is None else previous,
            detail=detail,
            at_ms=self.clock.now_ms(),
        )
        facts = {"release_id": self.facts.release_id, "environment": self.environment.name, "commit": self.facts.commit}
        notes = ((*note, facts),) if note else ()
        await to_thread.run_sync(self.book.put_release, self.delivery.delivery_id, self.row, notes)
