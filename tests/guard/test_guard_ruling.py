"""What happens to a finding: the first rule that fits, the stricter of two voices, and what the presets say."""

from __future__ import annotations

import itertools

import pytest

from mohist.guard import Finding, GuardRuleError
from mohist.guard.preset import PRESETS
from mohist.guard.ruling import ACTIONS, Flow, Rule, Rulebook, stricter

VENDOR = Flow("out", upstream="main", vendor="acme", region="us", client="cli/1", user="ann", team="core")
HOME = Flow("out", upstream="home", self_hosted=True)
ANSWER = Flow("in", upstream="main", vendor="acme")


def finding(
    data_class: str = "secret.token", confidence: float = 0.95, detector: str = "d", rule: str = "x.y"
) -> Finding:
    return Finding(detector, rule, data_class, 0, 4, confidence, "…", "0" * 32)


def decided(book: Rulebook, flow: Flow, found: Finding, source: str = "tool_result", tool: str = "") -> str:
    return book.ways(flow).decide(found, source, tool).action  # type: ignore[arg-type]


def test_the_first_rule_that_fits_decides() -> None:
    book = Rulebook(
        (
            Rule("test keys", "allow", classes=("secret",), rules=("x.*",), users=("ann",)),
            Rule("all", "block", classes=("secret",)),
        )
    )
    assert book.ways(VENDOR).decide(finding(), "user").rule == "test keys"
    assert decided(book, VENDOR, finding(rule="z.y")) == "block"
    assert decided(book, Flow("out", user="bob"), finding()) == "block"


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        (Rule("r", "block", direction="out"), True),
        (Rule("r", "block", direction="in"), False),
        (Rule("r", "block", classes=("secret",)), True),
        (Rule("r", "block", classes=("secr",)), False),
        (Rule("r", "block", classes=("secret.token.more",)), False),
        (Rule("r", "block", classes=("personal", "secret.token")), True),
        (Rule("r", "block", detectors=("other",)), False),
        (Rule("r", "block", detectors=("d",)), True),
        (Rule("r", "block", min_confidence=0.95), True),
        (Rule("r", "block", min_confidence=0.96), False),
        (Rule("r", "block", sources=("user",)), False),
        (Rule("r", "block", sources=("user", "tool_result")), True),
        (Rule("r", "block", tools=("Re*",)), True),
        (Rule("r", "block", tools=("Bash",)), False),
        (Rule("r", "block", self_hosted=False), True),
        (Rule("r", "block", self_hosted=True), False),
        (Rule("r", "block", upstreams=("ma*",), vendors=("acme",), regions=("us", "eu")), True),
        (Rule("r", "block", regions=("eu-*",)), False),
        (Rule("r", "block", clients=("cli/*",), teams=("core",)), True),
        (Rule("r", "block", projects=("shop",)), False),
        (Rule("r", "block", keys=("key-1",)), False),
    ],
    ids=lambda value: None if isinstance(value, bool) else "-".join(
        f"{name}={getattr(value, name)}" for name in value.__slots__ if getattr(value, name) != getattr(Rule("r", "block"), name)
    ),
)  # fmt: skip
def test_a_rule_fits_when_all_that_it_says_does(rule: Rule, fits: bool) -> None:
    assert decided(Rulebook((rule,)), VENDOR, finding(), tool="Read") == ("block" if fits else "note")


def test_of_owner_and_project_the_stricter_word_counts() -> None:
    for own, other in itertools.product(ACTIONS, ACTIONS):
        book = Rulebook((Rule("own", own),), (Rule("other", other),))
        assert decided(book, VENDOR, finding()) == (other if stricter(other, own) else own)


def test_what_no_rule_fits_is_noted() -> None:
    assert decided(Rulebook(()), VENDOR, finding("unheard.of")) == "note"
    for preset in PRESETS.values():
        assert decided(Rulebook(preset), VENDOR, finding("unheard.of")) == "note"


@pytest.mark.parametrize(
    ("preset", "flow", "data_class", "confidence", "source", "action"),
    [
        ("default", VENDOR, "secret.token", 0.9, "user", "block"),
        ("default", VENDOR, "secret.password", 0.89, "user", "mask"),
        ("default", VENDOR, "secret.password", 0.49, "user", "note"),
        ("default", HOME, "secret.token", 1.0, "user", "note"),
        ("default", VENDOR, "source.restricted", 0.95, "tool_result", "block"),
        ("default", VENDOR, "personal.email", 1.0, "user", "note"),
        ("default", VENDOR, "covert.zero-width", 1.0, "system", "note"),
        ("default", ANSWER, "secret.token", 1.0, "assistant", "note"),
        ("default", ANSWER, "exfiltration.address", 1.0, "assistant", "mask"),
        ("strict", VENDOR, "secret.password", 0.5, "user", "block"),
        ("strict", VENDOR, "personal.email", 0.8, "user", "mask"),
        ("strict", VENDOR, "covert.zero-width", 1.0, "system", "mask"),
        ("strict", VENDOR, "document.confidential", 0.8, "user", "block"),
        ("strict", HOME, "secret.token", 0.95, "user", "mask"),
        ("observe", VENDOR, "secret.token", 1.0, "user", "note"),
    ],
)
def test_the_presets_say(preset, flow, data_class, confidence, source, action) -> None:
    assert decided(Rulebook(PRESETS[preset]), flow, finding(data_class, confidence), source) == action


def test_hidden_signs_in_what_a_program_wrote_are_an_alarm() -> None:
    ways = Rulebook(PRESETS["default"]).ways(VENDOR)
    alarms = {source: ways.decide(finding("covert.tag"), source).alarm for source in ("system", "tool_schema", "user")}  # type: ignore[arg-type]
    assert alarms == {"system": True, "tool_schema": True, "user": False}
    assert not ways.decide(finding("covert.typography", 0.4), "system").alarm


@pytest.mark.parametrize(
    "rules",
    [(Rule("a", "note"), Rule("a", "block")), (Rule("", "note"),), (Rule("a", "note", min_confidence=1.5),)],
    ids=["two of one name", "no name", "no confidence"],
)
def test_rules_that_mean_nothing_are_refused(rules) -> None:
    with pytest.raises(GuardRuleError):
        Rulebook(rules)
    with pytest.raises(GuardRuleError):
        Rulebook((), rules)


def test_a_book_forgets_ways_rather_than_grow() -> None:
    book = Rulebook((Rule("a", "note"),))
    for number in range(3_000):
        book.ways(Flow("out", user=str(number)))
    assert len(book._suited) <= 1_024
