"""Requests prove who sends them, by the published rules of each sender; templates take fields and nothing else."""

from __future__ import annotations

import base64
import hmac
import secrets

import pytest

from mohist.delivery.errors import FieldError
from mohist.delivery.trigger.signature import Scheme, key_of, proved
from mohist.delivery.trigger.template import Template, at, holds

NOW_MS = 1_731_705_121_000
SECRET = secrets.token_hex(20)
KEY = secrets.token_bytes(24)
BODY = b'{"a": 1}'


def standard_headers(
    body: bytes = BODY, key: bytes = KEY, at_s: int = NOW_MS // 1000, more: str = ""
) -> dict[str, str]:
    signed = base64.b64encode(hmac.new(key, f"msg-1.{at_s}.".encode() + body, "sha256").digest()).decode()
    return {"webhook-id": "msg-1", "webhook-timestamp": str(at_s), "webhook-signature": f"{more}v1,{signed}"}


def headers_of(scheme: Scheme, body: bytes = BODY) -> dict[str, str]:
    match scheme:
        case "github":
            return {"x-hub-signature-256": "sha256=" + hmac.new(SECRET.encode(), body, "sha256").hexdigest()}
        case "gitlab":
            return {"x-gitlab-token": SECRET, "idempotency-key": "k-1"}
        case _:
            return standard_headers(body)


def secret_of(scheme: Scheme) -> str:
    return "whsec_" + base64.b64encode(KEY).decode() if scheme == "standard" else SECRET


def ask(scheme: Scheme, headers: dict[str, str], body: bytes = BODY, *others: str) -> str | None:
    return proved(scheme, (*others, secret_of(scheme)), headers, body, NOW_MS, 300)


def test_the_published_examples_hold() -> None:
    # https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    signed = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    headers = {"x-hub-signature-256": f"sha256={signed}"}
    assert proved("github", ["It's a Secret to Everybody"], headers, b"Hello, World!", 0, 0)
    # The example of Standard Webhooks' own libraries.
    headers = {
        "webhook-id": "msg_loFOjxBNrRLzqYUf",
        "webhook-timestamp": "1731705121",
        "webhook-signature": "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
    }
    body = b'{"event_type":"ping","data":{"success":true}}'
    secret = "whsec_" + "plJ3nmyCDGBKInav" + "dOK15jsl"
    assert proved("standard", [secret], headers, body, NOW_MS, 300) == "id:msg_loFOjxBNrRLzqYUf"


@pytest.mark.parametrize("scheme", ["github", "gitlab", "standard"])
def test_a_right_request_has_a_key_and_the_same_again_has_the_same(scheme: Scheme) -> None:
    key = ask(scheme, headers_of(scheme))
    assert key
    assert ask(scheme, headers_of(scheme)) == key
    assert ask(scheme, headers_of(scheme), BODY, secret_of(scheme)[::-1] + "0000") == key, "one of several secrets"


@pytest.mark.parametrize("scheme", ["github", "gitlab", "standard"])
def test_nothing_is_proved_without_or_with_a_wrong_signature(scheme: Scheme) -> None:
    right = headers_of(scheme)
    assert ask(scheme, {}) is None
    assert proved(scheme, [], right, BODY, NOW_MS, 300) is None
    for name in right:
        if name in ("idempotency-key",):
            continue
        for value in ("", "x", right[name][:-1], right[name] + "0", "\N{SNOWMAN}", "v1,", "sha256="):
            assert ask(scheme, right | {name: value}) is None, name
    if scheme != "gitlab":
        assert ask(scheme, right, BODY + b" ") is None


def test_an_id_that_no_signature_covers_makes_no_new_request_of_an_old_one() -> None:
    right = headers_of("github")
    assert ask("github", right | {"x-github-delivery": "a"}) == ask("github", right | {"x-github-delivery": "b"})


def test_a_signed_time_holds_within_its_window() -> None:
    for away_s in (-301, 301, 10**12):
        assert ask("standard", standard_headers(at_s=NOW_MS // 1000 + away_s)) is None
    assert ask("standard", standard_headers(at_s=NOW_MS // 1000 - 299))
    assert ask("standard", standard_headers(more="v1,AAAA v1a,BBBB ")), "one of several signatures"


def test_a_key_is_base64_with_or_without_its_mark() -> None:
    text = base64.b64encode(KEY).decode()
    assert key_of(text) == key_of("whsec_" + text) == KEY
    assert key_of("whsec_") is None
    assert key_of("no base64 !") is None


def test_fields_are_put_in_once_and_never_looked_through() -> None:
    document = {"issue": {"title": "{/secret}", "number": 7, "a/b": [{"~": "deep"}]}, "secret": "s", "none": None}
    template = Template("#{/issue/number}: {/issue/title} {/issue/a~1b/0/~0}{/none} {not} {}")
    assert template.filled(document) == "#7: {/secret} deep {not} {}"
    assert template.pointers == ("/issue/number", "/issue/title", "/issue/a~1b/0/~0", "/none")
    assert at(document, "") is document
    for missing in ("/nothing", "/issue/title/0", "/issue/a~1b/1", "/issue/a~1b/-1", "/issue/a~1b/00", "/issue"):
        with pytest.raises(FieldError):
            Template("{" + missing + "}").filled(document)


def test_a_condition_holds_only_for_the_very_value() -> None:
    document = {"action": "labeled", "n": 1, "flag": True}
    assert holds(document, (("/action", ("opened", "labeled")), ("/n", (1,))))
    assert holds(document, ())
    for pointer, wanted in (("/action", "opened"), ("/n", True), ("/flag", 1), ("/n", 1.0), ("/nothing", None)):
        assert not holds(document, ((pointer, (wanted,)),))
