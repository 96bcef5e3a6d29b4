"""Deliveries that begin by themselves, with real workers: from a signed request and a dropped file to the merged change."""

from __future__ import annotations

import hmac
import json
import os
import secrets
import signal
import subprocess
from pathlib import Path

import httpx2
import pytest
from delivering import REQUIREMENT, Open, Shop, free_port
from developer import until

pytestmark = [pytest.mark.release, pytest.mark.enable_socket]
ALONE = '[[waive]]\nkind = "spec"\nrisk = "high"\n[[waive]]\nkind = "merge"\nrisk = "high"\n'


def configure(shop: Shop, text: str) -> None:
    more = f'repository = "{shop.dev.repo}"\nbase = "release"\nmodel = "{shop.endpoint.model}"\n'
    shop.dev.home.mkdir(mode=0o700)
    (shop.dev.home / "deliver.toml").write_text(text.replace("MORE\n", more), encoding="utf-8")


def worker(shop: Shop, **env: str) -> subprocess.Popen[bytes]:
    child = shop.dev.start("deliver", "work", **env)
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith(b"works on deliveries"):
            return child
    pytest.fail("the worker never worked")


def deliveries(shop: Shop) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = shop.dev.mohist("deliver", "list", "--json").json
    return rows


def test_a_signed_request_becomes_a_merged_change(opened: Open) -> None:
    shop, port, secret = opened(rules=ALONE), free_port(), secrets.token_hex(20)
    configure(
        shop,
        '[trigger.issues]\nkind = "webhook"\nscheme = "github"\nsecret_env = "SHOP_HOOK"\nrequester = "issues"\n'
        f'requirement = "{{/issue/title}}"\nMORE\n[webhooks]\nlisten = "127.0.0.1:{port}"\n',
    )
    refused = shop.dev.mohist("deliver", "work")
    assert (refused.code, "SHOP_HOOK" in refused.err) == (1, True)
    child = worker(shop, SHOP_HOOK=secret)
    body = json.dumps({"issue": {"title": REQUIREMENT}}).encode()
    headers = {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()}
    url = f"http://127.0.0.1:{port}/hooks/issues"

    def takes() -> httpx2.Response | None:
        try:
            return httpx2.post(url, content=body, headers=headers)
        except httpx2.ConnectError:
            return None

    answer = until(takes, "the worker to listen")
    assert answer.status_code == 202
    assert httpx2.post(url, content=body, headers=headers).json() == answer.json() | {"status": "known"}
    until(lambda: [row["status"] for row in deliveries(shop)] == ["done"], "the change to be merged", 90)
    (row,) = deliveries(shop)
    assert (row["delivery_id"], row["requested_by"]) == (answer.json()["delivery"], "issues")
    assert shop.dev.git("show", "release:shop.py") == shop.cast.change
    child.send_signal(signal.SIGTERM)
    said = shop.dev.ended(child)
    assert said.code == 0
    assert secret not in said.err
    (state,) = shop.dev.mohist("deliver", "triggers", "--json").json
    assert (state["last"]["status"], state["under_way"]) == ("begun", 0)
    assert secret not in json.dumps(state)


def test_a_dropped_file_becomes_one_delivery_while_workers_are_killed(opened: Open) -> None:
    shop = opened(rules=ALONE)
    inbox = shop.dev.room / "inbox"
    inbox.mkdir(mode=0o755)
    configure(shop, f'[trigger.inbox]\nkind = "drop"\nfolder = "{inbox}"\nsettle_s = 0.2\nrequester = "inbox"\nMORE\n')
    children = [worker(shop), worker(shop)]
    part = inbox / ".order.md"
    part.write_text(REQUIREMENT, encoding="utf-8")
    part.rename(inbox / "order.md")
    result = inbox / "order.md.result"
    until(result.exists, "the file to be taken")
    os.kill(children[0].pid, signal.SIGKILL)
    told = json.loads(result.read_text(encoding="utf-8"))
    assert told["status"] == "accepted"
    until(lambda: [row["status"] for row in deliveries(shop)] == ["done"], "the change to be merged", 110)
    assert [row["delivery_id"] for row in deliveries(shop)] == [told["delivery"]]
    assert sorted(path.name for path in inbox.iterdir()) == [".mohist", "order.md.result"]
    assert not any(Path(inbox, ".mohist").iterdir())
    children[1].send_signal(signal.SIGTERM)
    assert shop.dev.ended(children[1]).code == 0
