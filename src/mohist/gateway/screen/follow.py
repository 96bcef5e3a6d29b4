"""Follows one answer: values come back in the place of placeholders where they may, and what it holds is looked at."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from mohist.base import Clock
from mohist.gateway.guard import Block as Stop
from mohist.gateway.guard import Part
from mohist.gateway.screen.ground import Arguments, Prose
from mohist.gateway.screen.invisible import visible
from mohist.gateway.screen.judge import Judge, Judged
from mohist.gateway.screen.message import withheld
from mohist.gateway.screen.note import Take
from mohist.gateway.screen.sink import SINKS
from mohist.guard import Block, Digest, Finding, Found, Scanner
from mohist.guard.restore import Restorer, Words
from mohist.guard.ruling import Decision

PIECE_CHARS: Final = 64 * 1024
"""So much of an answer's text is looked at together."""
OVERLAP_CHARS: Final = 2_048
"""What such a piece repeats of the one before."""
MAX_WATCHED: Final = 64
"""Values that must not stand in an address; more are not watched for."""
WATCHED_CHARS: Final = (8, 128)
"""A shorter value may stand there by chance; of a longer one the beginning is watched for."""
SPOILED: Final = (
    "Mohist's guard broke off this answer: a tool call writes a withheld value into a file of git's or of the system's, and "
    "says so only behind the value. Ask for it in another way, without the value."
)
_STOPPING: Final = ("ask", "block")


@dataclass(slots=True)
class Memory:
    """What is known of a request when its answer comes."""

    words: Words = field(default_factory=lambda: Words({}))
    """What stands for what."""
    digests: frozenset[str] = frozenset()
    """Of all that was found in the request: in the answer it is nothing new."""
    clear: tuple[str, ...] = ()
    """Secrets that went out as they are."""


class Follower:
    """Fulfils `Inbound`.

    Args:
        scanner: looks at texts.
        judge: decides.
        memory: of the request.
        take: gets what was found.
        clock: wall time.
        digest: names values.
        enforce: whether what is decided is done.
    """

    def __init__(
        self, scanner: Scanner, judge: Judge, memory: Memory, take: Take, clock: Clock, digest: Digest, *, enforce: bool
    ) -> None:
        self._scanner = scanner
        self._judge = judge
        self._memory = memory
        self._take = take
        self._clock = clock
        self._digest = digest
        self._enforce = enforce
        self._known = set(memory.digests)
        self._address = self._decision("exfiltration.address")
        self._strips = enforce and self._decision("covert.invisible").action == "mask"
        watched = _forms(memory.clear) if self._address.action not in ("allow", "note") else {}
        self._watched = frozenset(watched)
        self._shown_words = Words({**watched, **memory.words.values}) if watched else memory.words
        self._tracks: dict[Part, _Track] = {}

    def feed(self, part: Part, text: str) -> str | Stop:
        """More of a part."""
        track = self._tracks.get(part)
        if track is None:
            track = self._tracks[part] = self._track(part)
        track.said.append(text)
        track.size_chars += len(text)
        if track.size_chars >= PIECE_CHARS and (stop := self._look(part, track, last=False)):
            return stop
        if track.restorer is None:
            return text
        if self._strips and part.kind == "text":
            text = visible(text)
        seen = track.restorer.feed(text)
        if track.prose is not None and track.prose.withheld and (stop := self._leave(part, track.prose)):
            return stop
        return Stop(SPOILED) if track.spoiled else seen

    def end(self, part: Part) -> str | Stop:
        """A part is over."""
        track = self._tracks.pop(part, None)
        if track is None:
            return ""
        tail = track.restorer.end() if track.restorer is not None else ""
        if track.prose is not None and track.prose.withheld and (stop := self._leave(part, track.prose)):
            return stop
        return self._look(part, track, last=True) or (Stop(SPOILED) if track.spoiled else tail)

    def _track(self, part: Part) -> _Track:
        if part.sealed or not self._enforce or part.kind not in ("text", "arguments"):
            return _Track()
        if part.kind == "text":
            if not (self._shown_words.values or self._strips):
                return _Track()
            prose = Prose(self._memory.words.values, self._watched)
            return _Track(Restorer(self._shown_words, prose), prose)
        words = self._memory.words
        if not words.values:
            return _Track()
        arguments = Arguments(words.values, SINKS.get(part.tool))
        return _Track(Restorer(words, arguments), arguments=arguments)

    def _look(self, part: Part, track: _Track, *, last: bool) -> Stop | None:
        """Has what was said looked at; what stops the answer."""
        text = "".join(track.said)
        track.said = [] if last else [text[-OVERLAP_CHARS:]]
        track.size_chars = 0 if last else len(track.said[0])
        if not text:
            return None
        kind = "tool_call" if part.kind == "arguments" else "assistant"
        [found] = self._scanner.scan([Block(text, kind, name=part.tool)])  # type: ignore[arg-type]
        fresh = [finding for finding in found.findings if finding.value_digest not in self._known]
        self._known.update(finding.value_digest for finding in fresh)
        return self._settle(self._judge.judge([Found(found.block, tuple(fresh))])) if fresh else None

    def _leave(self, part: Part, prose: Prose) -> Stop | None:
        """What was kept out of an address."""
        words, prose.withheld[:] = list(dict.fromkeys(prose.withheld)), []
        block = Block("", "assistant", name=part.tool)
        fresh = [word for word in words if f"address {word}" not in self._known]
        self._known.update(f"address {word}" for word in fresh)
        judged = [Judged(0, block, self._finding(word), self._address) for word in fresh]
        return self._settle(judged) if judged else None

    def _settle(self, judged: Sequence[Judged]) -> Stop | None:
        self._take(self._judge.noted(judged, self._clock.now_ms()))
        stopping = [one for one in judged if one.decision.action in _STOPPING]
        return Stop(withheld(stopping)) if stopping and self._enforce else None

    def _finding(self, word: str, data_class: str = "exfiltration.address") -> Finding:
        return Finding(
            detector="screen",
            rule="screen.address",
            data_class=data_class,
            start=0,
            end=0,
            confidence=1.0,
            shown="a withheld value",
            value_digest=self._digest(word),
        )

    def _decision(self, data_class: str) -> Decision:
        """What the rules say of something that this class itself does."""
        return self._judge.ways.decide(self._finding("", data_class), "assistant")


@dataclass(slots=True)
class _Track:
    """One part under way."""

    restorer: Restorer | None = None
    prose: Prose | None = None
    arguments: Arguments | None = None
    said: list[str] = field(default_factory=list)
    size_chars: int = 0

    @property
    def spoiled(self) -> bool:
        """A value stands where none may, so the call must not be whole."""
        return self.arguments is not None and self.arguments.spoiled


def _forms(values: Iterable[str]) -> dict[str, str]:
    """Values and what they look like in an address, each standing for itself."""
    forms: set[str] = set()
    least, most = WATCHED_CHARS
    for value in list(dict.fromkeys(values))[:MAX_WATCHED]:
        if len(value) < least:
            continue
        data = value[:most].encode("utf-8", "replace")
        whole = len(value) <= most
        encoded = base64.b64encode(data).decode()
        # The last sign of a form may hold bits of what comes next.
        forms |= {value[:most], quote(value[:most], safe=""), data.hex(), data.hex().upper()}
        forms.add(encoded.rstrip("=") if whole else encoded[:-4])
        forms.add(base64.urlsafe_b64encode(data).decode().rstrip("=") if whole else encoded[:-4])
    return {form: form for form in forms}
