"""What hooks are told: each in its own format, signed, from what the user's own file names."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from mohist.delivery.errors import RuleError
from mohist.delivery.notify import LONGEST_WAIT_S, PAUSE_S, Hook, judged, letter, load_hooks
from mohist.delivery.state import Delivery, Note

SECRET = "s3" * 12
NOTE = Note(3, "gate", "waits for merge <into> main & more", 1_000, {"gate": "d.1"})


def delivery() -> Delivery:
    return Delivery(
        "d-1", "/srv/shop", "Ship free", "text", "ann", "a" * 40, "main", "mohist/d-1", "waiting", "merge", 1, 1, 1
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


def test_wecom_gets_as_much_as_it_takes_and_mentions_nobody() -> None:
    note = dataclasses.replace(NOTE, text="<@all> " + "界" * 1_400)
    body = json.loads(letter(Hook("h", "wecom", "https://x/y"), delivery(), note, 1_000).body)
    content = body["text"]["content"]
    assert len(content.encode()) <= 2_048
    assert "<@" not in content
    assert content.endswith("界")


def test_a_no_with_a_200_is_a_no() -> None:
    hook = Hook("h", "dingtalk", "https://x")
    assert judged(hook, 200, b'{"errcode":0}').kind == "sent"
    assert judged(hook, 200, b'{"errcode":310000,"errmsg":"sign not match"}').kind == "refused"
    assert judged(Hook("h", "feishu", "https://x"), 200, b'{"code":19021}').kind == "refused"
    assert judged(Hook("h", "feishu", "https://x"), 200, b'{"StatusCode":0,"StatusMessage":"success"}').kind == "sent"
    assert judged(hook, 200, b"no json").kind == "refused"
    assert judged(Hook("h", "slack", "https://x"), 200, b"ok").kind == "sent"


@pytest.mark.parametrize(
    ("status", "kind"), [(302, "away"), (404, "away"), (429, "away"), (500, "away"), (400, "refused")]
)
def test_what_may_be_better_later_is_told_from_what_never_will(status: int, kind: str) -> None:
    assert judged(Hook("h", "slack", "https://x"), status, b"").kind == kind


def test_a_receiver_says_how_long_it_wants_to_be_left_alone() -> None:
    hook = Hook("h", "slack", "https://x")
    assert judged(hook, 429, b"", "30").after_s == 30
    assert judged(hook, 429, b"", "999999999").after_s == LONGEST_WAIT_S
    assert judged(hook, 503, b"", "Wed, 21 Oct 2026 07:28:00 GMT").after_s == 0
    for format_, body in (
        ("wecom", b'{"errcode":45009}'),
        ("dingtalk", b'{"errcode":130101}'),
        ("feishu", b'{"code":11232}'),
    ):
        verdict = judged(Hook("h", format_, "https://x"), 200, body)  # type: ignore[arg-type]
        assert (verdict.kind, verdict.after_s) == ("away", PAUSE_S)


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
