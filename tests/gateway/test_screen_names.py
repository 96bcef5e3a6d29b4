"""Names that a company's model finds, at the gateway's door: masked and put back, and told where the model could not be asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import pytest

from fakes.clock import FakeClock
from mohist.gateway.call import Principal
from mohist.gateway.guard import Block as Stop
from mohist.gateway.guard import Destination, Outbound, Part, Pass, Replace
from mohist.gateway.screen import Noted, Screen, ScreenSettings
from mohist.guard import GuardError, Limits, Scanner, keyed
from mohist.guard.matcher import Re2Matcher
from mohist.guard.personal import Named, NameDetector
from mohist.guard.placeholder import Mint
from mohist.guard.preset import PRESETS
from mohist.guard.ruling import Rulebook

KEY = bytes(range(32))
WORD = re.compile(r"DLPx[0-9a-f]{12}")
NAME = "Maria Keller"


class Model:
    """Knows one person."""

    version = "1"

    def named(self, text: str) -> Iterable[Named]:
        for found in re.finditer(NAME, text):
            yield Named(found.start(), found.end(), "name")


def door(preset: str, detector: NameDetector) -> tuple[Screen, list[Noted]]:
    noted: list[Noted] = []
    scanner = Scanner([detector], Re2Matcher([], 100), keyed(KEY))
    rulebook = Rulebook(PRESETS[preset], ())  # type: ignore[index]
    return Screen(scanner, rulebook, Mint(KEY), keyed(KEY), FakeClock(), ScreenSettings(), noted.extend), noted


def call(*messages: tuple[str, str], memory: object = None, body: bytes = b"") -> Outbound:
    said = {"model": "m", "messages": [{"role": role, "content": text} for role, text in messages]}
    who = Principal("key-1", "ann", "shop", "core")
    to = Destination("main", "acme", "us", "", False)
    return Outbound("call-1", who, "client/1", "openai-chat", "s", "m", to, body or json.dumps(said).encode(), memory)


def texts(body: bytes) -> list[str]:
    return [message["content"] for message in json.loads(body)["messages"]]


def test_a_name_is_masked_in_a_strict_gateway_also_where_the_model_said_it_and_comes_back() -> None:
    screen, noted = door("strict", NameDetector(Model()))
    request = call(
        ("user", f"Please write a letter to {NAME} about the order."),
        ("assistant", f"Dear {NAME}, it is on its way."),
        ("user", "Shorter, please, and friendlier than it was."),
    )
    verdict = screen.outbound(request)
    assert isinstance(verdict, Replace)
    first, second, third = texts(verdict.body)
    [word] = WORD.findall(second)
    assert word in first
    assert NAME not in first + second
    assert third.startswith("Shorter")
    assert {(one.rule, one.action) for one in noted} == {("name.name", "mask")}
    inbound = screen.inbound(call(memory=verdict.memory, body=verdict.body))
    assert inbound is not None
    part = Part("text", 0)
    shown = inbound.feed(part, f"Hi {word}, done.")
    rest = inbound.end(part)
    assert isinstance(shown, str)
    assert isinstance(rest, str)
    assert shown + rest == f"Hi {NAME}, done."


def test_by_default_a_name_goes_out_and_is_recorded() -> None:
    screen, noted = door("default", NameDetector(Model()))
    assert isinstance(screen.outbound(call(("user", f"Please write to {NAME} today."))), Pass)
    assert [(one.data_class, one.action) for one in noted] == [("personal.name", "note")]


@pytest.mark.parametrize(("preset", "goes"), [("default", True), ("strict", False)])
def test_what_the_model_was_not_asked_about_is_told_with_alarm_and_stops_a_strict_gateway(
    preset: str, goes: bool
) -> None:
    detector = NameDetector(Model(), Limits(max_names_chars=20), "noted")
    screen, noted = door(preset, detector)
    verdict = screen.outbound(call(("user", f"Please write a letter to {NAME} about the order.")))
    assert isinstance(verdict, Pass if goes else Stop)
    assert [(one.data_class, one.alarm) for one in noted] == [("unread.names", True)]


def test_where_that_is_not_to_be_noted_only_nothing_goes() -> None:
    screen, _ = door("default", NameDetector(Model(), Limits(max_names_chars=20)))
    with pytest.raises(GuardError, match="max_names_chars"):
        screen.outbound(call(("user", f"Please write a letter to {NAME} about the order.")))
