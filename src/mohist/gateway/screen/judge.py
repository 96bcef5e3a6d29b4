"""Rules and releases on the findings of one call."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from mohist.base import light_dataclass
from mohist.gateway.guard import Outbound
from mohist.gateway.screen.note import Noted, Released
from mohist.gateway.screen.place import Places
from mohist.guard import Block, Finding, Found
from mohist.guard.placeholder import WORD
from mohist.guard.ruling import Decision, Direction, Flow, Mode, Rulebook

_SIGN: Final = re.compile(r"[^\W_]")
_REST_SIGNS: Final = 8
"""What a finding holds beside placeholders is worth a look from so many letters and digits on."""


@light_dataclass(frozen=True, slots=True)
class Judged:
    """One finding and what is to become of it."""

    index: int
    """Of the block in its request."""
    block: Block
    finding: Finding
    decision: Decision
    released: str = ""
    """Who let it pass."""


class Judge:
    """Decides for one way of one call.

    Args:
        rulebook: the rules.
        released: says what was let pass.
        mode: what is done of what is decided.
        request: the call.
        direction: to the model, or from it.
    """

    def __init__(
        self, rulebook: Rulebook, released: Released, mode: Mode, request: Outbound, direction: Direction
    ) -> None:
        to, who = request.destination, request.principal
        self._request = request
        self._released = released
        self._mode = mode
        self._direction = direction
        self.ways = rulebook.ways(
            Flow(
                direction=direction,
                upstream=to.upstream,
                vendor=to.vendor,
                region=to.region,
                self_hosted=to.self_hosted,
                client=request.client,
                key_id=who.key_id,
                user=who.user,
                project=who.project,
                team=who.team,
            )
        )

    def judge(self, founds: Iterable[Found]) -> list[Judged]:
        """What is to become of each finding; placeholders of ours are none."""
        judged = []
        for index, found in enumerate(founds):
            block = found.block
            for finding in found.findings:
                if is_ours(block.text[finding.start : finding.end]):
                    continue
                decision = self.ways.decide(finding, block.source, block.name)
                by = (
                    self._released(finding.value_digest, finding.rule)
                    if decision.action not in ("allow", "note")
                    else ""
                )
                if by:
                    decision = replace(decision, action="note")
                judged.append(Judged(index, block, finding, decision, by))
        return judged

    def noted(self, judged: Sequence[Judged], at_ms: int) -> list[Noted]:
        """What is written down of them."""
        request, to, who = self._request, self._request.destination, self._request.principal
        places = Places()
        return [
            Noted(
                call_id=request.call_id,
                at_ms=at_ms,
                direction=self._direction,
                mode=self._mode,
                action=one.decision.action,
                ruling=one.decision.rule,
                released=one.released,
                alarm=one.decision.alarm,
                detector=one.finding.detector,
                rule=one.finding.rule,
                data_class=one.finding.data_class,
                confidence=one.finding.confidence,
                digest=one.finding.value_digest,
                place=places.words(one.block, one.finding.start),
                via=",".join(one.finding.via),
                dialect=request.dialect,
                client=request.client,
                session_id=request.session_id,
                model=request.model,
                key_id=who.key_id,
                user=who.user,
                project=who.project,
                team=who.team,
                upstream=to.upstream,
                vendor=to.vendor,
                region=to.region,
                self_hosted=to.self_hosted,
            )
            for one in judged
            if one.decision.action != "allow"
        ]


def is_ours(text: str) -> bool:
    """Whether a text is placeholders and little else."""
    if "DLPx" not in text:
        return False
    rest, count = WORD.subn("", text)
    return count > 0 and len(_SIGN.findall(rest)) < _REST_SIGNS
