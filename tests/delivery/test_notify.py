"""Webhooks are told each note once, in their own format, signed, from what the user's own file names."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from fakes.book import FakeBook
from fakes.clock import FakeClock
from fakes.upstream import Reply, Upstream
from mohist.delivery.errors import RuleError
from mohist.delivery.notify import WAITS_S, Hook, Notifier, accepted, letter, load_hooks
from mohist.delivery.state import Delivery, Note

SECRET = "s3" * 12
NOTE = Note(3, "gate", "waits for merge <into> main & more", 1_000, {"gate": "d.1"})


def delivery() -> Delivery:
    return Delivery(
        "d-1", "/work/shop", "Ship free", "text", "ann", "a" * 40, "main", "mohist/d-1", "waiting", "merge", 1, 1, 1
    )


def sent(format_: str, secret: str = "") -> dict[str, object]:
    body: dict[str, object] = json.loads(
        letter(Hook("h", format_, "https://x/y", secret), delivery(), NOTE, 1_000).body
    )  # type: ignore[arg-type]
    return body


def test_generic_json_is_signed_over_time_and_body() -> None:
    made = letter(Hook("h", "json", "https://x/y", SECRET), delivery(), NOTE, 5_000)
    assert made.headers["X-Mohist-Event"] == "d-1/3"
    wanted = hmac.new(SECRET.encode(), b"5." + made.body, hashlib.sha256).hexdigest()
    assert made.headers["X-Mohist-Signature"] == f"t=5,v1={wanted}"
    assert json.loads(made.body)["facts"] == {"gate": "d.1"}


def test_slack_markup_is_escaped() -> None:
    assert "&lt;into&gt; main &amp; more" in str(sent("slack")["text"])


def test_feishu_is_signed_by_its_rule_and_mentions_nobody() -> None:
    body = sent("feishu", SECRET)
    wanted = base64.b64encode(hmac.new(f"1\n{SECRET}".encode(), b"", hashlib.sha256).digest()).decode()
    assert (body["timestamp"], body["sign"]) == ("1", wanted)
    assert "<" not in str(body["content"])


def test_dingtalk_is_signed_in_its_address() -> None:
    made = letter(Hook("h", "dingtalk", "https://x/send?access_token=t", SECRET), delivery(), NOTE, 1_000)
    asked = parse_qs(urlsplit(made.url).query)
    wanted = base64.b64encode(hmac.new(SECRET.encode(), f"1000\n{SECRET}".encode(), hashlib.sha256).digest()).decode()
    assert (asked["timestamp"], asked["sign"], asked["access_token"]) == (["1000"], [wanted], ["t"])
    assert json.loads(made.body)["msgtype"] == "text"


def test_wecom_gets_text() -> None:
    assert "merge" in sent("wecom")["text"]["content"]  # type: ignore[index]


def test_a_no_with_a_200_is_a_no() -> None:
    hook = Hook("h", "dingtalk", "https://x")
    assert accepted(hook, 200, b'{"errcode":0}')
    assert not accepted(hook, 200, b'{"errcode":310000,"errmsg":"sign not match"}')
    assert not accepted(Hook("h", "feishu", "https://x"), 200, b'{"code":19021}')
    assert not accepted(Hook("h", "slack", "https://x"), 302, b"")


def test_hooks_name_where_their_secrets_are_and_hold_none(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n", encoding="utf-8")
    text = f'[[notify]]\nname = "team"\nformat = "feishu"\nurl_env = "HOOK"\nsecret_file = "{tmp_path}/secret"\n'
    (hook,) = load_hooks(text, "f", {"HOOK": "https://x/hook-key"})
    assert (hook.url, hook.secret) == ("https://x/hook-key", SECRET)
    assert SECRET not in repr(hook)
    assert "hook-key" not in repr(hook)
    for wrong in (
        text.replace("HOOK", "NONE"),
        text.replace("url_env", "url"),
        text.replace("feishu", "irc"),
        text + 'url_file = "x"\n',
        text.replace('url_env = "HOOK"', ""),
    ):
        with pytest.raises(RuleError) as raised:
            load_hooks(wrong, "f", {"HOOK": "https://x/hook-key"})
        assert "hook-key" not in str(raised.value)


class Waits:
    def __init__(self) -> None:
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


def book_with_notes(clock: FakeClock, kinds: Sequence[str]) -> FakeBook:
    book = FakeBook(clock.now_ms)
    book.create(delivery())
    for kind in kinds:
        book.note("d-1", kind, f"{kind} happened")
    return book


@pytest.mark.enable_socket
async def test_each_note_is_sent_once_however_often_and_by_whoever_it_is_asked(clock: FakeClock) -> None:
    book = book_with_notes(clock, ["gate", "stage", "done"])
    async with Upstream([Reply(b"ok") for _ in range(9)]) as upstream:
        hook = Hook("h", "json", f"{upstream.url}/hook")
        one = Notifier(book, clock, (hook,), 0)
        assert await one.round() == 2
        assert await one.round() == 0
        assert await Notifier(book, clock, (hook,), 0).round() == 0
        assert [request.json["kind"] for request in upstream.requests] == ["gate", "done"]


@pytest.mark.enable_socket
async def test_a_receiver_that_is_away_is_tried_again_and_then_given_up(clock: FakeClock) -> None:
    book = book_with_notes(clock, ["failed"])
    waits = Waits()
    async with Upstream([Reply(b"", status=503), Reply(b"", status=503), Reply(b"ok")]) as upstream:
        notifier = Notifier(book, clock, (Hook("h", "json", upstream.url),), 0, waits)
        assert await notifier.round() == 1
        assert waits.waits == list(WAITS_S[:2])
    gone = Notifier(book_with_notes(clock, ["failed"]), clock, (Hook("h", "json", upstream.url),), 0, Waits())
    assert await gone.round() == 0
    assert await gone.round() == 0
