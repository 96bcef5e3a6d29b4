"""Real coding clients do a task through the gateway; run by scripts/test-clients, in a network that is loopback only."""

from __future__ import annotations

import json
import sys

import pytest
from coding_client import GUIDE, QUIET, README, Client, Desk, Done, clients, section
from line_tap import LineTap
from name_server import NameServer
from running_gateway import DIALECTS, PREFIX, Gateway, until

from fakes.credential import github_token
from fakes.vendor import Run, Script, Vendor
from fakes.vendor_write import COUNTED

pytestmark = [
    pytest.mark.client,
    pytest.mark.enable_socket,
    pytest.mark.skipif(not PREFIX, reason="run by scripts/test-clients"),
]

PROMPT = "Which words do the files one.txt, two.txt and three.txt in this folder hold? Read them."
EDIT_PROMPT = "Say good morning instead of hello."
CLIENTS = clients()
NO_SWITCH = {"opencode": {"registry"}, "aider": {"raw"}}
"""First labels of the hosts that a client looks for whatever it is told; see docs/clients.md."""
WITH_TOOLS = [client for client in CLIENTS if client.name != "aider"]
CLAUDE = next(client for client in CLIENTS if client.name == "claude-code")


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
    client: Client, upstream: str, desk: Desk, gateway: Gateway, line: LineTap, vendor: Vendor, names: NameServer
) -> None:
    desk.key = gateway.new_key()[1]
    desk.model = f"{upstream}-model"
    plan = script(desk, client, upstream)
    run = vendor.begin(plan)
    names.asked.clear()
    done = do(desk, client)
    print(client.title, client.version, "->", upstream, run.kinds(), "looked for", sorted(set(names.asked)))
    assert run.complaints == [], done
    assert done.code == 0, done
    if client in WITH_TOOLS:
        assert run.kinds().count("call") == 2
        assert run.kinds().count("final") == 1
        assert plan.last_words in done.out, done
    else:
        assert (desk.work / "greeting.txt").read_text("utf-8") == "good morning\n", done
    assert {one.dialect for one in run.asked} == {upstream}
    assert set(line.statuses) == {200}
    assert line.answers.count(b"text/event-stream") == sum(bool(one.json.get("stream")) for one in run.asked) >= 1
    if upstream == client.dialect:
        as_sent(line, run, desk.model)
    no_key_crossed(desk, gateway, vendor, run, line)
    metered(client, gateway, line, run)


@pytest.mark.parametrize("client", CLIENTS, ids=name_of)
def test_a_client_that_is_told_to_be_quiet_looks_for_nobody_else(
    client: Client, desk: Desk, gateway: Gateway, vendor: Vendor, names: NameServer
) -> None:
    desk.key = gateway.new_key()[1]
    desk.model = f"{client.dialect}-model"
    desk.quiet = section(GUIDE.read_text("utf-8"), QUIET)[client.title]
    run = vendor.begin(script(desk, client))
    names.asked.clear()
    done = do(desk, client)
    assert (done.code, run.complaints) == (0, []), done
    hosts = {name.removeprefix("www.").partition(".")[0] for name in names.asked}
    assert hosts <= NO_SWITCH.get(client.name, set()), names.asked


@pytest.mark.parametrize("upstream", DIALECTS)
def test_mohists_own_agent_does_its_task(
    upstream: str, desk: Desk, gateway: Gateway, line: LineTap, vendor: Vendor, names: NameServer
) -> None:
    desk.key = gateway.new_key()[1]
    desk.model = f"{upstream}-model"
    told = section(README.read_text("utf-8"))["Mohist"]
    plan = script(desk, CLAUDE)
    run = vendor.begin(plan)
    desk.set_up(told)
    command = desk.own(told.shell).replace("./mohist", f"{sys.executable} -m mohist").replace("…", PROMPT)
    done = desk.shell(CLAUDE, command)
    assert run.complaints == [], done
    assert done.code == 0, done
    assert run.kinds() == ["call", "call", "final"]
    assert plan.last_words in done.out
    no_key_crossed(desk, gateway, vendor, run, line)


def as_sent(line: LineTap, run: Run, model: str) -> None:
    """The vendor got the client's very bytes, but for the model's name and the request to tell the usage."""
    expected = []
    for request in line.requests:
        body = request.body.replace(json.dumps(model).encode(), b'"vendor-model"', 1)
        if request.path == "/v1/chat/completions" and b'"stream_options"' not in body:
            body = b'{"stream_options":{"include_usage":true},' + body[1:]
        if request.method == "POST":
            expected.append(body)
    assert sorted(expected) == sorted(one.body for one in run.asked)


def plain(done: Done) -> str:
    """What a person reads, whatever the width of the terminal."""
    return " ".join((done.out + done.err).split())


def no_key_crossed(desk: Desk, gateway: Gateway, vendor: Vendor, run: Run, line: LineTap) -> None:
    """The client's key never went up, the vendor's never came down, and the gateway kept neither in the clear."""
    for one in run.asked:
        assert desk.key not in str(one.headers)
        assert desk.key.encode() not in one.body
    assert vendor.key.encode() not in line.answers
    for data in gateway.files():
        assert desk.key.encode() not in data
        assert vendor.key.encode() not in data


def metered(client: Client, gateway: Gateway, line: LineTap, run: Run) -> None:
    """Every billed call is in the usage, side calls too, under the client's name, version and session."""
    rows = gateway.usage("client", run.billed)
    assert sum(row["calls"] for row in rows) == run.billed
    assert all(row["client"].startswith(client.agent) for row in rows), rows
    sums = {name: sum(row[name] for row in rows) for name in ("input_tokens", "cache_read_tokens", "output_tokens")}
    assert sums == {
        "input_tokens": COUNTED.prompt * run.billed,
        "cache_read_tokens": COUNTED.cached * run.billed,
        "output_tokens": COUNTED.output * run.billed,
    }
    told = {request.headers.get(client.session, "") for request in line.requests if request.method == "POST"}
    assert {row["session"] for row in gateway.usage("session", run.billed)} == told
    assert ("" in told) == (not client.session)


@pytest.mark.parametrize("client", CLIENTS, ids=name_of)
def test_a_revoked_key_is_told_to_the_person(
    client: Client, desk: Desk, gateway: Gateway, line: LineTap, vendor: Vendor, names: NameServer
) -> None:
    key_id, desk.key = gateway.new_key()
    desk.model = f"{client.dialect}-model"
    run = vendor.begin(script(desk, client))
    gateway.mohist("keys", "revoke", key_id)
    until(lambda: gateway.status(desk.key) == 401, lambda: "the revocation")
    done = do(desk, client)
    print(done, line.statuses)
    assert set(line.statuses) - {200} == {401}
    assert run.asked == []
    assert f"Key {key_id} was revoked" in plain(done), done
    assert desk.key not in done.out + done.err, done


@pytest.mark.parametrize("client", CLIENTS, ids=name_of)
def test_a_used_up_budget_is_told_to_the_person(
    client: Client, desk: Desk, gateway: Gateway, line: LineTap, vendor: Vendor, names: NameServer
) -> None:
    key_id, desk.key = gateway.new_key("--budget-tokens-month", "0")
    if client.name == "aider":
        desk.limit_s = 30  # tells it at once, then tries again for a minute, whatever the status says
    desk.model = f"{client.dialect}-model"
    run = vendor.begin(script(desk, client))
    done = do(desk, client)
    print(done, line.statuses)
    assert set(line.statuses) - {200} == {402}
    assert run.asked == []
    assert f"The monthly budget of key '{key_id}' has no room" in plain(done), done


@pytest.mark.parametrize("client", CLIENTS, ids=name_of)
def test_why_the_guard_stopped_a_call_is_told_to_the_person(
    client: Client, desk: Desk, gateway: Gateway, line: LineTap, vendor: Vendor, names: NameServer
) -> None:
    desk.key = gateway.new_key()[1]
    desk.model = f"{client.dialect}-model"
    run = vendor.begin(script(desk, client))
    token = github_token()
    done = desk.run(client, f"Deploy with the token {token} please.")
    print(done, line.statuses)
    assert run.asked == []
    assert 400 in line.statuses
    assert "it holds a secret" in plain(done), done
    assert "mohist guard release" in plain(done), done


def test_claude_code_asks_whether_the_gateway_is_there_and_counts_tokens(
    desk: Desk, gateway: Gateway, line: LineTap, vendor: Vendor, names: NameServer
) -> None:
    desk.key = gateway.new_key()[1]
    desk.model = "anthropic-messages-model"
    run = vendor.begin(script(desk, CLAUDE))
    done = desk.run(CLAUDE, "/context", ["-p", "{prompt}"])
    assert done.code == 0, done
    assert ("HEAD", "/api/hello") in [(one.method, one.path) for one in line.requests]
    assert set(run.kinds()) == {"count"}
    assert set(line.statuses) == {200}
    # Counting is free, but it is on the record.
    rows = gateway.usage("client", len(run.asked))
    assert [(row["client"], row["output_tokens"]) for row in rows] == [(CLAUDE.agent, 0)]
