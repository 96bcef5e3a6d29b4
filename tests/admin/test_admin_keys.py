"""Keys by the admin API: made, shown, changed, rotated, revoked."""

from __future__ import annotations

import pytest

from fakes.admin import Site, knows, until
from mohist.gateway.key import well_formed


async def test_a_made_key_works_and_its_secret_is_shown_once(site: Site) -> None:
    made = await site.ask("POST", "/keys", value={"user": "ann", "team": "core", "models": ["qwen*"]})
    assert made.status == 201
    assert well_formed(made.json["secret"])
    until(lambda: knows(site, made.json["secret"]))
    shown = await site.ask("GET", made.headers["location"])
    assert shown.json == {name: value for name, value in made.json.items() if name != "secret"}
    listed = await site.ask("GET", "/keys?user=ann")
    assert [key["key_id"] for key in listed.json["data"]] == [made.json["key_id"]]
    assert made.json["secret"] not in (listed.body + shown.body).decode()


async def test_a_revoked_key_is_refused_by_the_running_gateway(site: Site) -> None:
    made = await site.ask("POST", "/keys", value={"user": "ann"})
    until(lambda: knows(site, made.json["secret"]))
    revoked = await site.ask("POST", f"/keys/{made.json['key_id']}/revoke")
    assert revoked.json["status"] == "revoked"
    until(lambda: not knows(site, made.json["secret"]))
    again = await site.ask("POST", f"/keys/{made.json['key_id']}/revoke")
    assert again.json == revoked.json


async def test_a_rotated_key_has_a_new_secret_and_the_old_one_ends(site: Site) -> None:
    made = await site.ask("POST", "/keys", value={"user": "ann"})
    rotated = await site.ask("POST", f"/keys/{made.json['key_id']}/rotate", value={})
    assert rotated.json["key_id"] == made.json["key_id"]
    assert rotated.json["secret"] != made.json["secret"]
    until(lambda: knows(site, rotated.json["secret"]) and not knows(site, made.json["secret"]))


async def test_a_grace_lets_the_old_secret_work_on(site: Site) -> None:
    made = await site.ask("POST", "/keys", value={"user": "ann"})
    rotated = await site.ask("POST", f"/keys/{made.json['key_id']}/rotate", value={"grace_hours": 2})
    until(lambda: knows(site, rotated.json["secret"]))
    assert knows(site, made.json["secret"])


async def test_a_request_sent_twice_under_one_name_makes_one_key_and_tells_its_secret_once(site: Site) -> None:
    ask = {"value": {"user": "ann"}, "headers": {"idempotency-key": "first"}}
    made = await site.ask("POST", "/keys", **ask)
    again = await site.ask("POST", "/keys", **ask)
    assert again.json == made.json | {"secret": None}
    assert len((await site.ask("GET", "/keys?user=ann")).json["data"]) == 1
    other = await site.ask("POST", "/keys", value={"user": "bob"}, headers={"idempotency-key": "first"})
    assert other.status == 409
    # Of another sender the same name is another request.
    theirs = await site.ask("POST", "/keys", key="both", **ask)
    assert theirs.json["key_id"] != made.json["key_id"]


async def test_a_change_leaves_what_it_does_not_name_and_null_takes_a_limit_away(site: Site) -> None:
    limits = {"models": ["a*"], "requests_per_minute": 5, "expires_at": "2090-01-01T00:00:00Z"}
    made = await site.ask("POST", "/keys", value={"user": "ann"} | limits)
    path = f"/keys/{made.json['key_id']}"
    changed = await site.ask("PATCH", path, value={"requests_per_minute": None, "clients": ["codex*"]})
    assert changed.json["requests_per_minute"] is None
    assert changed.json["clients"] == ["codex*"]
    assert changed.json["models"] == ["a*"]
    assert changed.json["expires_at"] == "2090-01-01T00:00:00Z"


async def test_of_two_who_change_a_key_at_once_the_second_is_told(site: Site) -> None:
    made = await site.ask("POST", "/keys", value={"user": "ann"})
    path, read = f"/keys/{made.json['key_id']}", {"if-match": made.headers["etag"]}
    first = await site.ask("PATCH", path, value={"requests_per_minute": 1}, headers=read)
    assert first.status == 200
    second = await site.ask("PATCH", path, value={"requests_per_minute": 2}, headers=read)
    assert second.status == 412
    assert (await site.ask("GET", path)).json["requests_per_minute"] == 1
    third = await site.ask("PATCH", path, value={"requests_per_minute": 2}, headers={"if-match": first.headers["etag"]})
    assert third.status == 200


async def test_a_revoked_key_is_neither_changed_nor_rotated(site: Site) -> None:
    changed = await site.ask("PATCH", "/keys/key-revoked", value={"requests_per_minute": 1})
    rotated = await site.ask("POST", "/keys/key-revoked/rotate", value={})
    assert (changed.status, rotated.status) == (409, 409)


async def test_pages_hold_every_key_once(site: Site) -> None:
    made = {(await site.ask("POST", "/keys", value={"user": f"u{n}"})).json["key_id"] for n in range(5)}
    seen: list[str] = []
    after = ""
    while True:
        page = (await site.ask("GET", f"/keys?limit=2&after={after}")).json
        seen += [key["key_id"] for key in page["data"]]
        if page["next"] is None:
            break
        after = page["next"]
    assert len(seen) == len(set(seen))
    assert made < set(seen)


async def test_keys_are_found_by_role_and_status(site: Site) -> None:
    async def found(query: str) -> set[str]:
        return {key["key_id"] for key in (await site.ask("GET", f"/keys?{query}")).json["data"]}

    assert await found("role=auditor") == {"key-auditor"}
    assert await found("role=caller") == {"key-caller", "key-both"}
    assert await found("status=revoked") == {"key-revoked"}
    assert await found("status=expired") == {"key-expired"}
    assert await found("status=active&role=admin") == {"key-admin", "key-both"}


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({}, "body.user"),
        ({"user": ""}, "body.user"),
        ({"user": "a\u0000b"}, "body.user"),
        ({"user": "ann", "usr": 1}, "body.usr"),
        ({"user": "ann", "requests_per_minute": "5"}, "body.requests_per_minute"),
        ({"user": "ann", "requests_per_minute": -1}, "body.requests_per_minute"),
        ({"user": "ann", "roles": ["root"]}, "body.roles.0"),
        ({"user": "ann", "expires_at": "2026-02-31T00:00:00Z"}, "body.expires_at"),
        ({"user": "ann", "dialects": "openai-chat"}, "body.dialects"),
        ([], "body"),
    ],
)
async def test_a_wrong_request_is_told_which_field_and_makes_nothing(small: Site, value: object, field: str) -> None:
    before = (await small.ask("GET", "/keys")).json
    refused = await small.ask("POST", "/keys", value=value)
    assert refused.status == 422
    assert refused.json["error"]["code"] == "invalid"
    assert refused.json["error"]["field"] == field
    assert (await small.ask("GET", "/keys")).json == before


async def test_an_error_never_repeats_what_was_sent(small: Site) -> None:
    secret = small.keys["admin"]
    for value in ({"user": secret}, {"user": "ann", secret: 1}, {"user": "ann", "models": [{"a": secret}]}):
        refused = await small.ask("POST", "/keys", value=value)
        assert refused.status == 422
        assert secret not in refused.body.decode()
    for path in (f"/keys/{secret}", f"/budgets/key/day/{secret}", f"/keys?user={secret}%00", f"/{secret}"):
        assert secret not in (await small.ask("GET", path)).body.decode()
    broken = await small.ask(
        "POST", "/keys", body=b'{"user": "' + secret.encode(), headers={"content-type": "application/json"}
    )
    assert broken.status == 422
    assert secret not in broken.body.decode()
