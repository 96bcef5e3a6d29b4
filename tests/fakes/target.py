"""A target in memory that does what the contract says, crashes on demand, and shows users what they would see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mohist.delivery.errors import BusyError
from mohist.delivery.target import Answer, ReleaseFacts, Standing, Strategy


class Killed(BaseException):
    """Stands in for kill -9: nothing catches it."""


@dataclass
class FakeTarget:
    """Stands in for `mohist.delivery.target.Target`."""

    answers: Callable[[str], Answer] = lambda version: Answer(ok=True, version=version, latency_ms=1.0)
    """What the release with this version answers."""
    strategies: frozenset[Strategy] = frozenset({"in-place"})
    active: str = ""
    owner: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    kill_at: int = -1
    """Steps are counted from 0, each twice: before and after its effect. Negative: never."""
    steps: int = 0
    errors: dict[str, list[Exception]] = field(default_factory=dict)
    """What a step raises, one after the other, before it does anything."""

    kind = "fake"

    def plan(self, release: ReleaseFacts) -> Sequence[str]:
        return [f"serve {release.release_id}"]

    async def prepare(self, release: ReleaseFacts) -> None:
        def effect() -> None:
            if self.owner not in ("", release.release_id):
                raise BusyError(f"{self.owner} is under way")
            self.owner = release.release_id
            self.versions[release.release_id] = release.version

        self._step("prepare", effect)

    async def activate(self, release: ReleaseFacts, weight: int = 100) -> None:
        def effect() -> None:
            assert self.owner == release.release_id
            if weight == 100:
                self.active = release.release_id

        self._step(f"activate {weight}", effect)

    async def probe(self, release: ReleaseFacts, *, beside: bool = False) -> Answer:
        asked = release.release_id if beside else self.active
        if not asked:
            return Answer(ok=False, error="nobody answers")
        return self.answers(self.versions[asked])

    async def commit(self, release: ReleaseFacts) -> None:
        def effect() -> None:
            self.owner = ""

        self._step("commit", effect)

    async def rollback(self, release: ReleaseFacts, previous: str) -> None:
        def effect() -> None:
            if self.active == release.release_id:
                self.active = previous
            if self.owner == release.release_id:
                self.owner = ""

        self._step("rollback", effect)

    async def status(self) -> Standing:
        return Standing(self.active, tuple(self.versions))

    def _step(self, name: str, effect: Callable[[], None]) -> None:
        self._die()
        waiting = self.errors.get(name.split()[0])
        if waiting:
            raise waiting.pop(0)
        self.done.append(name)
        effect()
        self._die()

    def _die(self) -> None:
        self.steps += 1
        if self.steps - 1 == self.kill_at:
            raise Killed
