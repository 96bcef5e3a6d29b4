"""A run whose commands reach the hosts that were named for it, and no other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from developer import Developer, Endpoint, call, says, shell

from fakes.listener import Listener, listening
from fakes.upstream import Received, Reply

pytestmark = pytest.mark.enable_socket
Start = Callable[..., Endpoint]

# By the proxy, though it is loopback, which programs reach without one; prints the status, or what the proxy says.
FETCH = """python3 - <<'END'
import http.client
for host, port in {places}:
    line = http.client.HTTPConnection("127.0.0.1", 3128, timeout=20)
    try:
        line.set_tunnel(host, port)
        line.request("GET", "/file")
        print(host, line.getresponse().status)
    except OSError as error:
        print(host, error)
END"""


@pytest.fixture
def mirror() -> Iterator[Listener]:
    """A company's mirror; answers 404 and says what it was asked."""
    with listening() as heard:
        yield heard


def fetch(*places: tuple[str, int]) -> Reply:
    return shell(FETCH.format(places=list(places)))


def reached(dev: Developer) -> list[tuple[str, str, int]]:
    """Of the run's log: host, outcome, attempts."""
    return [
        (record["host"], record["outcome"], record["attempts"])
        for record in dev.records()
        if record["kind"] == "reached"
    ]


def test_commands_reach_what_was_named_and_nothing_else(dev: Developer, upstream: Start, mirror: Listener) -> None:
    endpoint = upstream(fetch(("localhost", mirror.port), ("telemetry.example.com", 443)), says("All done."))
    said = dev.run(endpoint, "--allow-private", f"localhost:{mirror.port}", "--output", "json")
    assert said.code == 0, said.err
    told = endpoint.results()[0]
    assert "localhost 404" in told
    assert "telemetry.example.com Tunnel connection failed: 403" in told
    assert [one.split(b"\r\n")[0] for one in mirror.got] == [b"GET /file HTTP/1.1"]
    # Before anything is let through it is on the record; what was counted follows at the end.
    assert reached(dev) == [
        ("localhost", "asked", 0),
        ("telemetry.example.com", "refused", 0),
        ("localhost", "through", 1),
        ("telemetry.example.com", "refused", 1),
    ]
    rows = said.json["reached"]
    assert [(row["host"], row["port"], row["outcome"]) for row in rows] == [
        ("localhost", mirror.port, "through"),
        ("telemetry.example.com", 443, "refused"),
    ]
    assert rows[0]["sent_bytes"] >= len(mirror.got[0])
    assert rows[0]["received_bytes"] > 0
    assert rows[1]["sent_bytes"] == 0
    assert said.json["network"] == "fenced"
    assert f"only localhost:{mirror.port}" in said.err
    story = dev.mohist("runs", "show", "last").out
    assert f"network fenced (localhost:{mirror.port})" in story
    assert f"network: localhost:{mirror.port} asked\n" in story
    assert "network: telemetry.example.com:443 refused (not-listed), 1 time(s), 0 bytes out, 0 in" in story
    assert "network: telemetry.example.com:443 refused" in said.err


def test_the_model_is_told_what_it_can_reach_and_a_person_what_was_reached(
    dev: Developer, upstream: Start, mirror: Listener
) -> None:
    def look(received: Received) -> Reply:
        assert f"Network: pypi.org, localhost:{mirror.port}, by the proxy" in json.dumps(received.json)
        return fetch(("localhost", mirror.port), ("localhost", 1))

    endpoint = upstream(look, says("", call("search", pattern="hello")), says("All done."))
    said = dev.run(endpoint, "--allow", "pypi.org", "--allow-private", f"localhost:{mirror.port}")
    assert said.code == 0, said.err
    assert f"✓ localhost:{mirror.port}  1 connection(s), " in said.out
    assert "✗ localhost:1  refused" in said.out
    # Looking for text needs no network, and has none.
    assert "greet.py" in endpoint.results()[1]


def test_it_is_entered_in_the_ledger_without_its_name(dev: Developer, upstream: Start, mirror: Listener) -> None:
    endpoint = upstream(fetch(("localhost", mirror.port), ("telemetry.example.com", 443)), says("All done."))
    assert dev.run(endpoint, "--allow-private", f"localhost:{mirror.port}").code == 0
    listed = dev.mohist("ledger", "show", "--json", "--last", "1000")
    assert "telemetry.example" not in listed.out
    entries = json.loads(listed.out)
    verdicts = [entry["data"] for entry in entries if entry["kind"] == "verdict"]
    said = [(one["verdict"], one["outcome"], one["port"]) for one in verdicts if one.get("what") == "network"]
    assert said == [
        ("allow", "asked", mirror.port),
        ("deny", "refused", 443),
        ("allow", "through", mirror.port),
        ("deny", "refused", 443),
    ]


def test_a_rule_against_a_host_holds_though_it_was_named(dev: Developer, upstream: Start, mirror: Listener) -> None:
    dev.home.mkdir(exist_ok=True)
    (dev.home / "policy.toml").write_text(
        '[[rule]]\nid = "no-mirror"\nhost = ["localhost"]\ndecision = "deny"\nreason = "it is being moved"\n'
        'match = ["localhost"]\nno_match = ["example.org"]\n',
        "utf-8",
    )
    endpoint = upstream(fetch(("localhost", mirror.port)), says("All done."))
    said = dev.run(endpoint, "--allow-private", f"localhost:{mirror.port}")
    assert said.code == 0, said.err
    assert "it is being moved" in said.err
    assert mirror.got == []


def test_checks_and_sub_agents_lead_out_by_the_same_way(dev: Developer, upstream: Start, mirror: Listener) -> None:
    check = "(" + FETCH.format(places=[("localhost", mirror.port)]) + "\n) | grep 404"
    endpoint = upstream(
        says("", call("task", prompt="Fetch it.", write=True)),
        fetch(("localhost", mirror.port)),
        says("Fetched."),
        says("", call("write", path="new.txt", content="x\n")),
        says("", call("done", summary="All done.")),
        says("All done."),
    )
    said = dev.run(endpoint, "--allow-private", f"localhost:{mirror.port}", "--check", check, "--output", "json")
    assert said.code == 0, said.err
    assert said.json["status"] == "done", said.json
    assert [row["attempts"] for row in said.json["reached"]] == [2]
    assert len(mirror.got) == 2


def test_a_run_that_is_resumed_keeps_its_hosts(dev: Developer, upstream: Start, mirror: Listener) -> None:
    where = f"localhost:{mirror.port}"
    endpoint = upstream(fetch(("localhost", mirror.port)), says("All done."))
    assert dev.run(endpoint, "--allow-private", where).code == 0
    # What is set meanwhile is for runs that begin then.
    (dev.home / "mohist.toml").write_text('allow_hosts = ["example.com"]\n', "utf-8")
    rest = upstream(fetch(("localhost", mirror.port), ("example.com", 443)), says("All done."))
    said = dev.mohist("runs", "resume", "last", "once more", "--model", rest.model, "--output", "json")
    assert said.code == 0, said.err
    rows = {row["host"]: (row["outcome"], row["attempts"], row["refused"]) for row in said.json["reached"]}
    assert rows == {"localhost": ("through", 2, 0), "example.com": ("refused", 1, 1)}


def test_a_repository_can_close_it_and_not_widen_it(dev: Developer, upstream: Start, mirror: Listener) -> None:
    dev.home.mkdir(exist_ok=True)
    (dev.home / "mohist.toml").write_text('network = "fenced"\n', "utf-8")
    dev.write(".mohist/mohist.toml", f'allow_private_hosts = ["localhost:{mirror.port}"]\n')
    endpoint = upstream(fetch(("localhost", mirror.port)), says("All done."))
    said = dev.run(endpoint, "--output", "json")
    assert said.code == 0, said.err
    assert [row["outcome"] for row in said.json["reached"]] == ["refused"]
    dev.write(".mohist/mohist.toml", 'network = "none"\n')
    assert dev.run(upstream(says("All done.")), "--output", "json").json["network"] == "none"
    assert mirror.got == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--allow", "no host"], "'no host'"),
        (["--allow", "pypi.org:https"], "'https' is no port"),
        (["--allow", "pypi.org", "--network", "full"], "leaves nothing to name"),
        (["--allow", "pypi.org", "--sandbox", "landlock"], "can't hold the network"),
    ],
)
def test_what_can_not_be_held_is_told_before_anything_starts(
    dev: Developer, upstream: Start, words: list[str], told: str
) -> None:
    endpoint = upstream()
    said = dev.run(endpoint, *words)
    assert said.code == 2
    assert told in said.err
    assert dev.logs() == []
