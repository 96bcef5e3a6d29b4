"""The software register by HTTP: read by auditors, changed by admins, by two of them where two are asked for."""

from __future__ import annotations

from fakes.admin import Site, knows, until
from mohist.gateway.change import Author
from mohist.gateway.key import Key, new_secret, secret_hash
from mohist.gateway.register import RegisterStore

BAN = {
    "tool": "claude-code",
    "versions": "<2.1.197",
    "disposition": "banned",
    "reason": "It marks prompts.",
    "alternative": "qwen-code",
    "first_step": "mohist govern -- qwen",
    "effective": "2026-12-01",
}


def second_admin(site: Site) -> None:
    """A key of another person, under the name `second`; the running gateway knows it."""
    secret = new_secret()
    with RegisterStore(site.address, author=Author("setup")) as store:
        store.add_key(Key("key-second", "second", roles=("admin",)), secret_hash(secret))
    site.keys["second"] = secret
    until(lambda: knows(site, secret))


async def test_an_entry_is_made_shown_and_taken_away_and_each_is_an_event(site: Site) -> None:
    made = await site.ask("PUT", "/register/entries/marks", value=BAN)
    assert (made.status, made.json) == (200, {"in_force": True, "proposal_id": None})
    shown = await site.ask("GET", "/register", key="auditor")
    assert shown.json["entries"] == [{"id": "marks", **BAN}]
    assert (await site.ask("DELETE", "/register/entries/marks")).json["in_force"]
    assert (await site.ask("DELETE", "/register/entries/marks")).status == 404
    events = (await site.ask("GET", "/events?subject=register&order=oldest")).json["data"]
    assert [(one["action"], one["name"], one["door"]) for one in events] == [("register.change", "marks", "api")] * 2


async def test_an_entry_that_does_not_hold_together_is_a_conflict_and_repeats_nothing(small: Site) -> None:
    for change in (
        {"alternative": ""},
        {"versions": "<<secret-words"},
        {"expires": "2026-01-01"},
        {"disposition": "restricted"},
    ):
        refused = await small.ask("PUT", "/register/entries/marks", value=BAN | change)
        assert refused.status == 409
        assert "does not hold together" in refused.json["error"]["message"]
        assert "secret-words" not in refused.body.decode()
    assert (await small.ask("GET", "/register")).json["entries"] == []


async def test_two_persons_approve_by_two_keys(site: Site) -> None:
    second_admin(site)
    settings = {"unlisted": "deny", "two_persons": True, "ask": "write to tools@example.com"}
    assert (await site.ask("PUT", "/register/settings", value=settings)).json["in_force"]
    waiting = await site.ask("PUT", "/register/entries/marks", value=BAN)
    proposal = waiting.json["proposal_id"]
    assert not waiting.json["in_force"]
    assert (await site.ask("POST", f"/register/proposals/{proposal}/approve")).status == 409
    shown = (await site.ask("GET", "/register")).json
    assert (shown["entries"], [one["proposal_id"] for one in shown["waiting"]]) == ([], [proposal])
    assert (await site.ask("POST", f"/register/proposals/{proposal}/approve", key="auditor")).status == 403
    approved = await site.ask("POST", f"/register/proposals/{proposal}/approve", key="second")
    assert (approved.status, approved.json["decision"], approved.json["decided_by"]) == (200, "approved", "second")
    assert [one["id"] for one in (await site.ask("GET", "/register")).json["entries"]] == ["marks"]
    assert (await site.ask("POST", f"/register/proposals/{proposal}/withdraw")).status == 404


async def test_a_key_is_made_for_a_tool(small: Site) -> None:
    made = await small.ask(
        "POST", "/keys", value={"user": "ann", "tool": "qwen-code@0.24.4", "repository": "git.example.com/a"}
    )
    assert (made.json["tool"], made.json["repository"]) == ("qwen-code@0.24.4", "git.example.com/a")
    with RegisterStore(small.address) as store:
        assert store.key(made.json["key_id"]).principal.tool == "qwen-code@0.24.4"


async def test_who_uses_what_is_refused_is_told(small: Site) -> None:
    assert (await small.ask("GET", "/register/users?days=7&entry=marks", key="auditor")).json == {"data": []}
    assert (await small.ask("GET", "/register/users?days=0")).status == 422
