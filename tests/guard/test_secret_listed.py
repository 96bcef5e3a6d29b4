"""A listed secret is found wherever it stands, in every form, and the list holds no secret."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mohist.guard import Block, GuardDataError, GuardRuleError, Hit, View
from mohist.guard.secret import Listed, ListedDetector, Register, Tracer, filled, listed_detector

KEY = b"k" * 32
VALUE = filled("P4$s/{alnum:12}+ü")


def found(text: str, *values: str) -> list[Hit]:
    tracer = Tracer(KEY)
    listed = [tracer.listed(f"secret {index}", value) for index, value in enumerate(values or (VALUE,))]
    return list(ListedDetector(listed, tracer).detect(View(text), Block(text), {}))


def middle(prefix: bytes) -> str:
    return base64.b64encode(prefix + VALUE.encode() + b"tail").decode()


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("plain", VALUE),
        ("base64", base64.b64encode(VALUE.encode()).decode()),
        ("base64", middle(b"a")),
        ("base64", middle(b"ab")),
        ("base64", middle(b"abc")),
        ("base64", base64.urlsafe_b64encode(b"xy" + VALUE.encode()).decode()),
        ("hex", VALUE.encode().hex()),
        ("hex", VALUE.encode().hex().upper()),
        ("url", quote(VALUE, safe="")),
        ("json", json.dumps(VALUE)),
    ],
    ids=["plain", "base64", "offset 1", "offset 2", "offset 3", "urlsafe", "hex", "HEX", "url", "json"],
)
def test_a_secret_is_found_in_each_of_its_forms(form: str, text: str) -> None:
    (hit,) = found(f"密钥 = {text};")
    assert hit.rule == "listed.secret 0"
    assert hit.confidence == 1.0
    assert (f"as {form}" in hit.note) is (form != "plain")
    assert set(f"密钥 = {text};"[hit.start : hit.end]) <= set(text)


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=40), st.text(max_size=40), st.text(min_size=8, max_size=30).filter(lambda text: len(set(text)) > 3)
)
def test_a_secret_is_found_between_any_texts(before: str, after: str, value: str) -> None:
    value = value.encode("utf-8", "replace").decode().strip("\r\n")
    if len(value.encode()) < 8 or len(set(value)) < 4:
        return
    text = (before + value + after).encode("utf-8", "replace").decode()
    assert (len(before), len(before) + len(value)) in {(hit.start, hit.end) for hit in found(text, value)}


def test_nothing_else_is_found() -> None:
    near = [VALUE[:-1], VALUE[1:], VALUE.swapcase(), VALUE[::-1], VALUE[:8], "", "x"]
    assert [found(text) for text in near] == [[]] * len(near)


def test_with_another_key_nothing_is_found() -> None:
    listed = Tracer(KEY).listed("db", VALUE)
    assert list(ListedDetector([listed], Tracer(b"x" * 32)).detect(View(VALUE), Block(VALUE), {})) == []


def test_an_empty_list_finds_nothing() -> None:
    assert list(ListedDetector([], Tracer(KEY)).detect(View(VALUE), Block(VALUE), {})) == []


@pytest.mark.parametrize(
    "value", ["pw1234", "aaaaaaaaaaaaaaaa", "", "abababab"], ids=["short", "one letter", "empty", "two letters"]
)
def test_a_secret_that_would_be_found_by_chance_is_refused(value: str) -> None:
    with pytest.raises(GuardRuleError, match="too short or too plain") as refused:
        Tracer(KEY).listed("db", value)
    assert not value or value not in str(refused.value)


@pytest.mark.parametrize("label", ["", "a\nb", "x" * 65])
def test_a_label_is_fit_to_be_shown(label: str) -> None:
    with pytest.raises(GuardRuleError, match="label"):
        Tracer(KEY).listed(label, VALUE)


class TestRegister:
    def test_what_is_written_is_read_and_holds_nothing_of_the_secret(self, tmp_path: Path) -> None:
        path = tmp_path / "state" / "listed.json"
        Register(path).add((Tracer(KEY).listed("db", VALUE),))
        text = path.read_text(encoding="utf-8")
        assert not any(VALUE[at : at + 4] in text for at in range(len(VALUE) - 3))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [hit.rule for hit in listed_detector(path, KEY).detect(View(VALUE), Block(VALUE), {})] == ["listed.db"]

    def test_a_label_is_listed_once_and_can_be_removed(self, tmp_path: Path) -> None:
        register, tracer = Register(tmp_path / "listed.json"), Tracer(KEY)
        register.add((tracer.listed("a", VALUE), tracer.listed("b", VALUE + "2")))
        register.add((tracer.listed("a", VALUE + "3"),))
        assert [one.label for one in register.read()] == ["b", "a"]
        register.remove("b")
        assert [one.label for one in register.read()] == ["a"]
        with pytest.raises(GuardRuleError, match="No secret is listed as 'b'"):
            register.remove("b")

    def test_an_absent_list_is_empty(self, tmp_path: Path) -> None:
        assert Register(tmp_path / "none.json").read() == ()

    @pytest.mark.parametrize(
        "content", ["", "{", '{"format": 1}', '{"format": 2, "secrets": []}', '{"format":1,"secrets":[{"label":"x"}]}']
    )
    def test_a_damaged_list_is_an_error_not_an_empty_one(self, tmp_path: Path, content: str) -> None:
        path = tmp_path / "listed.json"
        path.write_text(content, encoding="utf-8")
        path.chmod(0o600)
        with pytest.raises(GuardDataError, match="list of secrets"):
            Register(path).read()

    def test_a_list_that_others_may_change_is_an_error(self, tmp_path: Path) -> None:
        path = tmp_path / "listed.json"
        Register(path).add((Tracer(KEY).listed("db", VALUE),))
        path.chmod(0o620)
        with pytest.raises(GuardDataError, match="changed by others"):
            Register(path).read()

    def test_a_list_that_can_t_be_written_is_an_error_and_leaves_nothing_behind(self, tmp_path: Path) -> None:
        (tmp_path / "listed.json").mkdir()
        with pytest.raises(GuardDataError):
            Register(tmp_path / "listed.json").add(())
        assert [path.name for path in tmp_path.iterdir()] == ["listed.json"]


def test_the_version_changes_with_the_list() -> None:
    tracer = Tracer(KEY)
    lists: list[list[Listed]] = [
        [],
        [tracer.listed("a", VALUE)],
        [tracer.listed("b", VALUE)],
        [tracer.listed("a", VALUE + "1")],
    ]
    assert len({ListedDetector(listed, tracer).version for listed in lists}) == 4
