"""Real coding clients meet the software register at the gateway; run by scripts/test-clients, in a network that is loopback only."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from coding_client import Client, Desk, clients
from line_tap import LineTap
from name_server import NameServer
from running_gateway import PREFIX, Gateway, until
from test_coding_clients import CLAUDE, do, name_of, plain, script

from fakes.vendor import Vendor

pytestmark = [
    pytest.mark.client,
    pytest.mark.enable_socket,
    pytest.mark.skipif(not PREFIX, reason="run by scripts/test-clients"),
]

STEP = "run mohist govern now"
NAMELESS = {"aider"}
"""Clients whose User-Agent is that of a library."""
BAN = ("--banned", "--reason", "It was found to mark prompts", "--alternative", "another-tool", "--first-step", STEP)


def knows(gateway: Gateway, key: str, agent: str, status: int) -> None:
    """Waits until the running gateway answers a call of this agent so."""

    def answers() -> bool:
        asked = urllib.request.Request(
            f"{gateway.url}/v1/chat/completions",
            data=b'{"model":"nobody","messages":[]}',
            headers={"authorization": f"Bearer {key}", "user-agent": agent, "content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return int(answer.status) == status
        except urllib.error.HTTPError as error:
            error.close()
            return error.code == status

    until(answers, lambda: f"{status} for {agent}")


@pytest.mark.parametrize("client", clients(), ids=name_of)
def test_a_refused_client_tells_its_person_why_and_what_to_do_instead(
    client: Client, desk: Desk, gateway: Gateway, line: LineTap, vendor: Vendor, names: NameServer
) -> None:
    bound = ("--tool", f"{client.name}@{client.version}") if client.name in NAMELESS else ()
    desk.key = gateway.new_key(*bound)[1]
    desk.model = f"{client.dialect}-model"
    gateway.mohist("register", "add", client.name, "--versions", f"<={client.version}", *BAN)
    knows(gateway, desk.key, client.agent, 400)
    run = vendor.begin(script(desk, client))
    done = do(desk, client)
    print(client.title, "was told:", plain(done)[-700:])
    print("calls", len([one for one in line.requests if one.method == "POST"]), line.statuses)
    assert run.asked == []
    assert STEP in plain(done), done
    assert "another-tool" in plain(done), done
    assert len(line.statuses) <= 4, "it tried again and again"


@pytest.mark.parametrize("client", clients(), ids=name_of)
def test_a_client_works_on_until_its_day_and_its_use_is_written_down(
    client: Client, desk: Desk, gateway: Gateway, line: LineTap, vendor: Vendor, names: NameServer
) -> None:
    bound = ("--tool", f"{client.name}@{client.version}") if client.name in NAMELESS else ()
    desk.key = gateway.new_key(*bound)[1]
    desk.model = f"{client.dialect}-model"
    day = (dt.datetime.now(dt.UTC) + dt.timedelta(days=9)).date().isoformat()
    gateway.mohist("register", "add", client.name, *BAN, "--from", day)
    gateway.mohist("register", "add", "agent:probe", *BAN)
    knows(gateway, gateway.new_key()[1], "probe/1", 400)
    run = vendor.begin(script(desk, client))
    done = do(desk, client)
    assert (done.code, run.complaints) == (0, []), done
    assert line.answers.count(b"x-mohist-warning: ") == len(run.asked) >= 1
    assert f"From {day} on it is refused.".encode() in line.answers
    users = gateway.mohist("register", "users", client.name)
    assert [(row["user"], row["refused"]) for row in users] == [("ann", 0)]
    assert users[0]["warned"] >= 1


def test_a_key_that_was_made_for_a_tool_is_of_no_use_to_a_banned_one(
    desk: Desk, gateway: Gateway, line: LineTap, vendor: Vendor, names: NameServer
) -> None:
    desk.key = gateway.new_key("--tool", "qwen-code@0.24.4")[1]
    desk.model = "anthropic-messages-model"
    gateway.mohist("register", "add", "claude-code", *BAN)
    knows(gateway, desk.key, CLAUDE.agent, 400)
    run = vendor.begin(script(desk, CLAUDE))
    done = do(desk, CLAUDE)
    assert run.asked == []
    assert STEP in plain(done), done


def test_the_check_finds_what_npm_and_pip_installed_with_its_version(gateway: Gateway) -> None:
    installed = [client.folder(Path(PREFIX)) for client in clients()]
    said = gateway.mohist("register", "check", *(word for folder in installed for word in ("--folder", str(folder))))
    found = {(one["tool"], one["version"]) for one in said["found"] if one["place"].startswith(PREFIX)}
    assert found == {(client.name, client.version) for client in clients()}
    assert said["refused"] == 0
    gateway.mohist("register", "add", "qwen-code", *BAN)
    command = [sys.executable, "-m", "mohist", "register", "check", "--json"]
    command += [word for folder in installed for word in ("--folder", str(folder))]
    again = subprocess.run(command, env=gateway.env, capture_output=True, timeout=30, check=False)
    assert again.returncode == 1
    refused = [one for one in json.loads(again.stdout)["found"] if one["outcome"] == "refused"]
    assert {one["tool"] for one in refused} == {"qwen-code"}
    assert {one["first_step"] for one in refused} == {STEP}
