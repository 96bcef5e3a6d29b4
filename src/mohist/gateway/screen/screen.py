"""The guard at the gateway: what is found in a call is ruled on before it leaves, and on its answer's way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from mohist.base import Clock
from mohist.gateway.guard import Block as Stop
from mohist.gateway.guard import Inbound, Outbound, Pass, Replace
from mohist.gateway.screen.follow import Follower, Memory
from mohist.gateway.screen.judge import Judge, Judged
from mohist.gateway.screen.lookout import Watch, unwatched
from mohist.gateway.screen.mask import Absences, can_mask, is_sealed, masked
from mohist.gateway.screen.message import stopped
from mohist.gateway.screen.note import Released, Take, nobody, nothing
from mohist.gateway.screen.splice import spliced
from mohist.guard import Block, Digest, Found, Limits, Request, Scanner
from mohist.guard.limit import DEFAULT
from mohist.guard.placeholder import Mint, Placeholders
from mohist.guard.restore import Words
from mohist.guard.ruling import BLOCKING, MASKING, Mode, Rulebook
from mohist.guard.session import Sessions

_STOPPING: Final = ("ask", "block")
HEAD_CHARS: Final = 12
"""A shorter header holds no secret of a known format."""
_HEAD_DETECTORS: Final = ("secret", "listed")
_EMPTY: Final = Memory()


@dataclass(frozen=True, slots=True)
class ScreenSettings:
    """How findings are dealt with."""

    mode: Mode = "enforce"
    hint: bool = True
    """The model is told what placeholders are."""
    answers: bool = True
    """Answers are looked at, too."""
    own_models: tuple[str, ...] = ()
    """Models on machines of one's own, named to whoever is stopped."""
    limits: Limits = DEFAULT


class Screen:
    """Fulfils `Guard`.

    Args:
        scanner: finds.
        rulebook: decides.
        mint: makes placeholders.
        digest: names values.
        clock: time.
        settings: how.
        take: gets what was found.
        released: knows what was let pass.
        watch: is shown what goes out.
    """

    def __init__(
        self,
        scanner: Scanner,
        rulebook: Rulebook,
        mint: Mint,
        digest: Digest,
        clock: Clock,
        settings: ScreenSettings | None = None,
        take: Take = nothing,
        released: Released = nobody,
        watch: Watch = unwatched,
    ) -> None:
        self._scanner = scanner
        self._rulebook = rulebook
        self._mint = mint
        self._digest = digest
        self._clock = clock
        self._settings = settings or ScreenSettings()
        self._take = take
        self._released = released
        self._watch = watch
        self._sessions = Sessions(clock)
        self._absences = Absences()

    def outbound(self, request: Outbound) -> Stop | Replace | Pass | None:
        """What to do with a body.

        Raises:
            GuardError: it could not be looked at.
        """
        mode = self._settings.mode
        if mode == "off":
            return None
        call = Request(request.body, request.dialect, self._settings.limits)
        self._watch(request, call.blocks)
        founds = [*self._scanner.scan(call.blocks), *self._heads(request)]
        known = self._sessions.get(request.principal.key_id, request.session_id)
        if not known and not any(found.findings for found in founds):
            return Pass(_EMPTY)
        judge = Judge(self._rulebook, self._released, mode, request, "out")
        judged = [self._feasible(call, one) for one in judge.judge(founds)]
        self._take(judge.noted(judged, self._clock.now_ms()))
        digests = frozenset(one.finding.value_digest for one in judged)
        if mode == "observe":
            return Pass(Memory(digests=digests, clear=_clear(judged)))
        stopping = [one for one in judged if one.decision.action in _STOPPING]
        if stopping:
            return Stop(stopped(stopping, request.destination, self._settings.own_models))
        placeholders = Placeholders(self._mint, known)
        masking = [one for one in judged if one.decision.action == "mask"]
        changes = masked(call, masking, placeholders, self._absences, hint=self._settings.hint) if masking else {}
        if changes:
            self._sessions.put(request.principal.key_id, request.session_id, placeholders.values)
        memory = Memory(
            Words(placeholders.values),
            digests,
            _clear([one for one in judged if one.decision.action != "mask"]),
        )
        return Replace(spliced(request.body, call, changes), memory) if changes else Pass(memory)

    def inbound(self, request: Outbound) -> Inbound | None:
        """Who follows the answer."""
        memory = request.memory if isinstance(request.memory, Memory) else _EMPTY
        mode = self._settings.mode
        if mode == "off" or not (self._settings.answers or memory.words.values):
            return None
        judge = Judge(self._rulebook, self._released, mode, request, "in")
        return Follower(self._scanner, judge, memory, self._take, self._clock, self._digest, enforce=mode == "enforce")

    def _heads(self, request: Outbound) -> list[Found]:
        """What stands in headers and in the query: secrets by format, and listed ones; of ids there are too many to guess."""
        blocks = [Block(value, "metadata", f"?{name}") for name, value in request.head if len(value) >= HEAD_CHARS]
        found = []
        for one in self._scanner.scan(blocks):
            sure = [f for f in one.findings if f.detector in _HEAD_DETECTORS and f.confidence >= BLOCKING]
            found.append(Found(one.block, tuple(sure)))
        return found

    def _feasible(self, call: Request, one: Judged) -> Judged:
        """What can be done where it stands: a place that can't be changed can't be masked."""
        if one.decision.action != "mask" or (one.index < len(call.blocks) and can_mask(call, one.index)):
            return one
        # What the model thought its vendor wrote, so the vendor has it; anything else must not go.
        action = "note" if is_sealed(one.block) else "block"
        return replace(one, decision=replace(one.decision, action=action))  # type: ignore[arg-type]


def _clear(judged: Sequence[Judged]) -> tuple[str, ...]:
    """Secrets that go out as they are."""
    return tuple(
        dict.fromkeys(
            one.block.text[one.finding.start : one.finding.end]
            for one in judged
            if one.finding.data_class.startswith("secret") and one.finding.confidence >= MASKING
        )
    )
