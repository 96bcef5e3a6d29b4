"""Who gets in: over every operation of the description, so that a new one can't be forgotten."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from typing import Any

import pytest

from fakes.admin import LISTED, NAMES, UPSTREAM_SECRET, Site, until
from fakes.asgi import ask
from mohist.admin.application import build
from mohist.admin.entrance import MAX_BODY_BYTES, VAIN_PER_MINUTE, Entrance
from mohist.gateway.call import Principal, Refusal
from mohist.gateway.store import Store

DESCRIPTION = build().openapi()
OPERATIONS = [
    (method.upper(), path, operation["x-mohist-role"], operation)
    for path, methods in DESCRIPTION["paths"].items()
    for method, operation in methods.items()
]
PLACES = {
    "key_id": "key-caller",
    "subject": "user",
    "period": "day",
    "name": "ann",
    "entry_id": "no-entry",
    "proposal_id": "none",
}
NEEDED = {"/admin/v1/prices": "?model=m"}


def target(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: PLACES[found[1]], path) + NEEDED.get(path, "")


def body(operation: dict[str, Any]) -> Any:
    return operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")


@pytest.mark.parametrize("who", ["none", "unknown", *NAMES])
async def test_every_operation_is_open_to_its_role_and_to_nobody_else(small: Site, who: str) -> None:
    for method, path, needed, operation in OPERATIONS:
        answer = await small.ask(method, target(path), key=who, value=body(operation))
        allowed = who in ("admin", "both") or (who == "auditor" and needed == "auditor")
        if allowed:
            assert answer.status < 300 or answer.status == 404, (method, path, answer)
            continue
        assert answer.status == (403 if who in ("caller", "auditor") else 401), (method, path, answer)
        assert set(answer.json) == {"error"}
        assert ("www-authenticate" in answer.headers) == (answer.status == 401)


async def test_who_may_not_change_things_changes_nothing(small: Site) -> None:
    with Store(small.address) as store:
        before = store.policy()
    for who in ("none", "unknown", "caller", "auditor", "revoked", "expired"):
        for method, path, needed, operation in OPERATIONS:
            if needed == "admin":
                await small.ask(method, target(path), key=who, value=body(operation))
    with Store(small.address) as store:
        assert store.policy() == before


async def test_a_key_that_administers_makes_no_model_calls_unless_it_says_so(small: Site) -> None:
    def call(who: str) -> object:
        principal = small.keeper.identify(small.keys[who])
        assert isinstance(principal, Principal)
        return small.keeper.reserve(principal, "openai-chat", "m", "", 1, 1)

    for who in ("admin", "auditor"):
        refused = call(who)
        assert isinstance(refused, Refusal)
        assert refused.status == 403
    for who in ("caller", "both"):
        assert not isinstance(call(who), Refusal)


@pytest.mark.parametrize("name", ["x-api-key", "cookie", "proxy-authorization", "api-key"])
async def test_a_key_counts_as_a_bearer_token_only(small: Site, name: str) -> None:
    secret = small.keys["admin"]
    for text in (secret, f"Bearer {secret}", f"authorization=Bearer {secret}; key={secret}"):
        assert (await small.ask("GET", "/self", key="none", headers={name: text})).status == 401
    assert (await small.ask("GET", f"/self?key={secret}&access_token={secret}", key="none")).status == 401
    basic = await small.ask("GET", "/self", key="none", headers={"authorization": f"Basic {secret}"})
    assert basic.status == 401


async def test_failed_requests_are_slowed_down_and_a_right_key_gets_through(small: Site) -> None:
    heard = [(await small.ask("GET", "/self", key="unknown")).status for _ in range(VAIN_PER_MINUTE + 5)]
    assert heard[:VAIN_PER_MINUTE] == [401] * VAIN_PER_MINUTE
    last = await small.ask("GET", "/self", key="unknown")
    assert last.status == 429
    assert int(last.headers["retry-after"]) >= 1
    assert (await small.ask("GET", "/self")).status == 200


async def test_other_paths_are_the_gateways_own(small: Site) -> None:
    for path in ("/v1/models", "/administrator", "/", "/adminx/v1/keys"):
        assert (await ask(small.app, "GET", path)).json == "passed on"


async def test_nothing_is_told_of_paths_to_those_who_may_not_come_in(small: Site) -> None:
    there = await small.ask("GET", "/keys", key="none")
    not_there = await small.ask("GET", "/nothing", key="none")
    assert (there.status, there.body) == (not_there.status, not_there.body)
    assert (await small.ask("GET", "/nothing")).status == 404
    assert (await small.ask("GET", "/admin")).status == 404


async def test_a_method_that_a_path_does_not_take_names_those_it_takes(small: Site) -> None:
    refused = await small.ask("DELETE", "/keys/key-both")
    assert refused.status == 405
    assert refused.headers["allow"] == "GET, PATCH"


async def test_a_body_has_an_end(small: Site) -> None:
    refused = await small.ask("POST", "/keys", body=b" " * (MAX_BODY_BYTES + 1))
    assert refused.status == 413


async def test_answers_are_not_kept_by_anyone_on_the_way(small: Site) -> None:
    for key in ("admin", "none"):
        heard = await small.ask("GET", "/keys", key=key)
        assert heard.headers["cache-control"] == "no-store"
        assert heard.headers["x-content-type-options"] == "nosniff"


async def test_an_unknown_parameter_is_an_error_and_names_the_nearest(small: Site) -> None:
    refused = await small.ask("GET", "/calls?usr=ann")
    assert refused.status == 422
    assert "'user'" in refused.json["error"]["message"]
    assert (await small.ask("GET", "/health?x=1")).status == 422


async def test_no_secret_is_in_any_other_answer_or_in_a_log(small: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made = await small.ask("POST", "/keys", value={"user": "ann"})
    rotated = await small.ask("POST", f"/keys/{made.json['key_id']}/rotate", value={})
    secrets = [made.json["secret"], rotated.json["secret"], UPSTREAM_SECRET, "ann:secret", "token=secret"]
    secrets += [secret for secret in small.keys.values() if secret]
    heard = []
    for method, path, _, operation in OPERATIONS:
        if operation["operationId"] not in ("create_key", "rotate_key"):
            heard.append(await small.ask(method, target(path), value=body(operation)))
    everything = b"".join(answer.body + json.dumps(dict(answer.headers)).encode() for answer in heard).decode()
    everything += "".join(record.getMessage() for record in caplog.records)
    assert LISTED.label in everything
    assert [secret for secret in secrets if secret in everything] == []


async def test_a_lost_database_is_told_without_saying_where_it_is(small: Site) -> None:
    assert (await small.ask("GET", "/keys")).status == 200
    path = small.address.path
    assert path is not None
    for file in path.parent.glob("gateway.db*"):
        file.unlink()
    path.mkdir()
    lost = await small.ask("GET", "/keys")
    assert lost.status == 503
    assert lost.json["error"]["code"] == "unavailable"
    assert str(path) not in lost.body.decode()
    health = await small.ask("GET", "/health")
    assert (health.status, health.json["status"]) == (200, "degraded")


_LAZY = """
import sys
import mohist.app.serve, mohist.cli.serve
print(sorted({name.partition(".")[0] for name in sys.modules} & {"fastapi", "starlette"}))
"""


def test_a_gateway_that_nobody_administers_does_not_load_what_the_api_is_made_with() -> None:
    done = subprocess.run([sys.executable, "-c", _LAZY], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


async def test_a_stranger_makes_nobody_load_it(small: Site) -> None:
    loaded: list[str] = []

    def load() -> Any:
        loaded.append("once")
        return build()

    entrance = Entrance(small.desk, load)

    async def heard(key: str) -> int:
        return (await ask(entrance, "POST", "/admin/v1/keys", key=small.keys[key], value={"user": "ann"})).status

    assert [await heard(key) for key in ("none", "unknown", "caller", "revoked", "expired")] == [
        401,
        401,
        403,
        401,
        401,
    ]
    assert loaded == []
    assert [await heard("admin") for _ in range(2)] == [201, 201]
    assert loaded == ["once"]


async def test_an_admin_that_is_revoked_is_out_within_a_second(site: Site) -> None:
    assert (await site.ask("POST", "/keys/key-both/revoke")).status == 200
    until(lambda: isinstance(site.keeper.identify(site.keys["both"]), Refusal), 1.0)
    assert (await site.ask("GET", "/self", key="both")).status == 401
