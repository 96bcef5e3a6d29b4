"""What a difference is taken for, and how much it weighs."""

from __future__ import annotations

import base64
import hashlib

import pytest

from mohist.vet.behaviour.surroundings import Surroundings, standard_factors
from mohist.vet.difference.feature import Deviation, FeatureId
from mohist.vet.difference.reading import Reading, read

FACTORS = standard_factors("openai-chat")
HERE = FeatureId("POST /v1/messages main 0", "body $.system", "3-4")
NOON_S = 1_768_472_430.0
"""2026-01-15, 10:20:30 UTC."""
HOST = "gateway.example.cn"


def taken(
    old: str, new: str, changed: dict[str, str], *, kind: str = "text", slot: str = "3-4", where: str = "body $.system"
) -> Reading:
    before, after = Surroundings(FACTORS, {}), Surroundings(FACTORS, changed)
    deviation = Deviation(old, new, kind, context=new, old_context=old)
    feature = FeatureId(HERE.label, where, slot)
    return read(feature, deviation, before.facts(NOON_S, NOON_S + 1), after.facts(NOON_S, NOON_S + 1), changed.keys())


CHINA, CN, CHINESE, CI = {"zone": "Asia/Shanghai"}, {"endpoint": HOST}, {"locale": "zh_CN.UTF-8"}, {"ci": "true"}


@pytest.mark.parametrize(
    ("old", "new", "changed", "sort", "severity"),
    [
        ("UTC", "Asia/Shanghai", CHINA, "stated", "low"),
        ("+00:00", "+08:00", CHINA, "stated", "low"),
        ("http://gateway.example.com", f"http://{HOST}", CN, "stated", "low"),
        ("en-US", "zh-CN", CHINESE, "stated", "low"),
        ("10:20", "18:20", CHINA, "clock", "low"),
        ("1/15/2026", "2026/1/15", CHINESE, "localised", "low"),
        ("2026-01-15", "2026/01/15", CHINA, "date form", "high"),
        ("2026-01-15", "2026-1-15", CHINA, "date form", "high"),
        ("Today's", "Today’s", CN, "look-alike", "high"),
        ("Today's", "Todayʹs", CN, "look-alike", "high"),
        ("name", "n\u0430me", CN, "look-alike", "high"),
        ("helper", "hel\u200bper", CN, "invisible", "high"),
        (" ", "  ", CN, "spacing", "high"),
        (" ", "\u00a0", CN, "spacing", "high"),
        ("Brief", "brief", CN, "case", "high"),
        ("a b c", "c b a", CN, "order", "high"),
        ("1", "1.0", CN, "number", "high"),
        (".", "!", CN, "punctuation", "high"),
        ("brief", "short", CN, "words", "medium"),
        ("", "Nobody can answer", CI, "words", "low"),
        ("", "Nobody can answer", CN, "words", "medium"),
        ("0123456789abcdef", "fedcba9876543210", CN, "coded", "high"),
        ("x", base64.b64encode(HOST.encode()).decode(), CN, "coded", "high"),
        ("x", hashlib.sha256(HOST.encode()).hexdigest()[:10], CN, "coded", "high"),
        ("x", HOST[::-1], CN, "coded", "high"),
    ],
)
def test_a_difference_in_text_is_sorted_and_weighed(
    old: str, new: str, changed: dict[str, str], sort: str, severity: str
) -> None:
    reading = taken(old, new, changed)
    assert (reading.sort, reading.severity(changed.keys())) == (sort, severity)


@pytest.mark.parametrize(
    ("kind", "old", "new", "changed", "sort"),
    [
        ("names", "Host\nAccept", "Accept\nHost", CN, "order"),
        ("names", "Host\nAccept", "Accept\nHost", {"proxy": "http://127.0.0.1:3128"}, "stated"),
        ("names", "Accept\nX-A", "accept\nX-A", CN, "case"),
        ("names", "Accept", "Accept\nX-A", CN, "presence"),
        ("keys", "a\nb", "b\na", CN, "order"),
        ("order", "read\nbash", "bash\nread", CN, "order"),
        ("spacing", "''", "' '", CN, "spacing"),
        ("escape", "as it is", "\\u00e9", CN, "escape"),
        ("mark", "a", "b", CN, "coded"),
    ],
)
def test_a_difference_in_form_is_sorted(kind: str, old: str, new: str, changed: dict[str, str], sort: str) -> None:
    assert taken(old, new, changed, kind=kind).sort == sort


def test_a_field_that_comes_says_openly_what_it_holds_or_does_not() -> None:
    there = {"kind": "there", "slot": "there", "where": "header x-zone"}
    assert taken("", "Asia/Shanghai", CHINA, **there).sort == "stated"
    assert taken("", "on", CHINA, **there).sort == "presence"
    assert taken("", base64.b64encode(b"Asia/Shanghai").decode(), CHINA, **there).sort == "coded"


def test_the_own_vendors_host_may_be_told_more_but_not_in_look_alikes() -> None:
    assert Reading("presence").severity({"endpoint"}, own_vendor=True) == "low"
    assert Reading("coded").severity({"endpoint"}, own_vendor=True) == "medium"
    assert Reading("look-alike").severity({"endpoint"}, own_vendor=True) == "high"
    assert Reading("spacing").severity({"endpoint"}, own_vendor=True) == "high"


def test_a_proxy_takes_time_and_a_time_zone_takes_none() -> None:
    assert Reading("delay").severity({"proxy"}) == "low"
    assert Reading("delay").severity({"zone"}) == "high"
    assert Reading("delay").severity({"proxy", "zone"}) == "high"
