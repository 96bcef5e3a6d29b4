"""A guard of the gateway whose scanner finds words of a made-up form, so that tests hold no secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fakes.clock import FakeClock
from mohist.gateway.screen import Noted, Screen, ScreenSettings
from mohist.guard import Block, Hit, Match, Pattern, Scanner, View, keyed
from mohist.guard.matcher import Re2Matcher
from mohist.guard.placeholder import Mint
from mohist.guard.preset import PRESETS
from mohist.guard.ruling import Rule, Rulebook

KEY = bytes(range(32))
SURE, LIKELY = "sk-sure-0123456789abcdef", "sk-likely-fedcba9876543210"
"""What `FormDetector` takes for a secret of confidence 0.99, and of 0.7."""
_FORMS = {
    re.compile(r"sk-sure-[0-9a-f]{16}"): ("fake.sure", "secret.token", 0.99),
    re.compile(r"sk-likely-[0-9a-f]{16}"): ("fake.likely", "secret.token", 0.7),
    re.compile(r"[a-z.]+@[a-z]+\.example"): ("fake.email", "personal.email", 0.8),
    re.compile("[\u200b\u2060]+"): ("fake.zero-width", "covert.zero-width", 0.9),
}


class FormDetector:
    """Finds what has one of a few forms."""

    name = "fake"
    version = "1"
    patterns: Sequence[Pattern] = ()

    def detect(self, view: View, block: Block, matches: Mapping[str, Sequence[Match]]) -> Iterable[Hit]:
        for form, (rule, data_class, confidence) in _FORMS.items():
            for found in form.finditer(view.text):
                yield Hit(rule, data_class, found.start(), found.end(), confidence)


@dataclass
class Made:
    """A screen and what it had written down."""

    screen: Screen
    noted: list[Noted] = field(default_factory=list)
    released: dict[str, str] = field(default_factory=dict)
    """Who let a digest pass."""
    clock: FakeClock = field(default_factory=FakeClock)

    def actions(self) -> list[tuple[str, str, str]]:
        return [(one.direction, one.rule, one.action) for one in self.noted]


def screen(
    *rules: Rule, preset: str = "default", tightening: Sequence[Rule] = (), settings: ScreenSettings | None = None
) -> Made:
    """A screen with rules above a preset's."""
    made: Made
    clock = FakeClock()
    rulebook = Rulebook((*rules, *PRESETS[preset]), tuple(tightening))  # type: ignore[index]
    one = Screen(
        Scanner([FormDetector()], Re2Matcher([], 100), keyed(KEY)),
        rulebook,
        Mint(KEY),
        keyed(KEY),
        clock,
        settings or ScreenSettings(own_models=("home-coder",)),
        lambda noted: made.noted.extend(noted),
        lambda digest, _rule: made.released.get(digest, ""),
    )
    made = Made(one, clock=clock)
    return made
