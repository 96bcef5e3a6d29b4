"""Real coding clients do a task through the gateway; run by scripts/test-clients, in a network that is loopback only."""

from __future__ import annotations

import pytest
from coding_client import Client, Desk, Done, clients
from name_server import NameServer
from running_gateway import DIALECTS, PREFIX, Gateway

from fakes.vendor import Run, Script, Vendor
from fakes.vendor_write import COUNTED

pytestmark = [
    pytest.mark.client,
    pytest.mark.enable_socket,
    pytest.mark.skipif(not PREFIX, reason="run by scripts/test-clients"),
]

TRANSLATED: frozenset[tuple[str, str]] = frozenset()
"""Pairs (client's dialect, upstream's dialect) that the gateway translates between."""
PROMPT = "Which words do the files one.txt, two.txt and three.txt in this folder hold? Read them."
EDIT_PROMPT = "Say good morning instead of hello."
CLIENTS = clients()
WITH_TOOLS = [client for client in CLIENTS if client.name != "aider"]
CLAUDE, CODEX = (next(client for client in CLIENTS if client.name == name) for name in ("claude-code", "codex"))


def name_of(value: object) -> str:
    return value.name if isinstance(value, Client) else str(value)


def script(desk: Desk, client: Client, upstream: str = "") -> Script:
    """One file, then two side by side; for aider, which declares no tools, an edit in text."""
    files = [desk.work / name for name in ("one.txt", "two.txt", "three.txt")]
    words = {path: path.read_text("utf-8").split()[-1].rstrip(".") for path in files}
    foreign = upstream not in ("", client.dialect)
    if client in WITH_TOOLS:
        return Script([files[:1], files[1:]], words, foreign=foreign)
    # Of a model that it does not know, aider wants whole files.
    return Script((), {}, edits="greeting.txt\n```\ngood morning\n```\n", foreign=foreign)


def do(desk: Desk, client: Client) -> Done:
    return desk.run(client, PROMPT if client in WITH_TOOLS else EDIT_PROMPT)


@pytest.mark.parametrize("upstream", DIALECTS)
@pytest.mark.parametrize("client", CLIENTS, ids=name_of)
def test_a_client_does_its_task_on_an_upstream_of_any_dialect(
    client: Client, upstream: str, desk: Desk, gateway: Gateway, vendor: Vendor, names: NameServer
) -> None:
    desk.key = gateway.new_key()[1]
    desk.model = f"{upstream}-model"
    plan = script(desk, client, upstream)
    run = vendor.begin(plan)
    names.asked.clear()
    done = do(desk, client)
    print(done, run.kinds(), sorted(set(names.asked)))
    if upstream != client.dialect and (client.dialect, upstream) not in TRANSLATED:
        assert run.asked == []
        assert upstream in done.out + done.err, "the refusal does not reach the person"
        return
    assert run.complaints == [], done
    assert done.code == 0, done
    if client in WITH_TOOLS:
        assert run.kinds().count("call") == 2
        assert run.kinds().count("final") == 1
        assert plan.last_words in done.out, done
    else:
        assert (desk.work / "greeting.txt").read_text("utf-8") == "good morning\n"
    assert all(one.json["stream"] for one in run.asked if one.kind in ("call", "final")), "not streamed"
    assert {one.dialect for one in run.asked} == {upstream}
    no_key_crossed(desk, gateway, vendor, run, done)
    metered(client, gateway, run)


def no_key_crossed(desk: Desk, gateway: Gateway, vendor: Vendor, run: Run, done: Done) -> None:
    """The client's key never went up, the vendor's never came down, and neither is kept in the clear."""
    for one in run.asked:
        assert desk.key not in str(one.headers)
        assert desk.key.encode() not in one.body
    assert vendor.key not in done.out + done.err
    for path in (*desk.home.rglob("*"), *desk.work.rglob("*")):
        if path.is_file() and not path.is_symlink():
            assert vendor.key.encode() not in path.read_bytes(), path
    for data in gateway.files():
        assert desk.key.encode() not in data
        assert vendor.key.encode() not in data


def metered(client: Client, gateway: Gateway, run: Run) -> None:
    """Every billed call is in the usage, side calls too, under the client's name and version."""
    rows = gateway.usage("client", run.billed)
    assert [row["client"] for row in rows if row["input_tokens"]] == [row["client"] for row in rows if row["calls"]]
    assert all(row["client"].startswith(client.agent) for row in rows), rows
    sums = {name: sum(row[name] for row in rows) for name in ("input_tokens", "cache_read_tokens", "output_tokens")}
    assert sums == {
        "input_tokens": COUNTED.prompt * run.billed,
        "cache_read_tokens": COUNTED.cached * run.billed,
        "output_tokens": COUNTED.output * run.billed,
    }
