"""What a governed client may reach, and what is told of what it tried."""

from __future__ import annotations

import pytest
from anyio.abc import ByteStream

from mohist.app.errors import ConfigError
from mohist.app.govern.account import Account
from mohist.app.govern.client import Residual
from mohist.app.govern.report import exit_code, table
from mohist.app.govern.tally import MAX_HOSTS, Tally
from mohist.app.govern.wish import HOST, decide
from mohist.base import ExitCode
from mohist.sandbox.fence import Asked, Attempt, Dial, Refuse, Serve


async def gateway(_stream: ByteStream, _asked: Asked) -> None:
    return


def asked(host: str, port: int = 443) -> Asked:
    return Asked("connect" if port else "name", host, port)


def test_the_gateway_is_served_by_name_and_on_its_port_alone() -> None:
    judge = decide((), (), gateway)
    assert judge(asked(HOST, 0)) == Serve(gateway)
    assert judge(asked(HOST, 80)) == Serve(gateway)
    refused = judge(asked(HOST, 8484))
    assert isinstance(refused, Refuse)
    assert refused.code == "port"


def test_nothing_else_is_reached_unless_it_is_named() -> None:
    judge = decide((), (), gateway)
    for host in ("example.com", "127.0.0.1", "169.254.169.254", f"x.{HOST}"):
        assert isinstance(judge(asked(host)), Refuse)


def test_hosts_are_named_with_or_without_a_port_and_private_ones_for_themselves() -> None:
    judge = decide(("pypi.org", "*.example.com:8443"), ("mirror.corp",), gateway)
    assert judge(asked("pypi.org")) == judge(asked("pypi.org", 80)) == Dial()
    assert isinstance(judge(asked("pypi.org", 22)), Refuse)
    assert judge(asked("a.example.com", 8443)) == Dial()
    assert isinstance(judge(asked("a.example.com")), Refuse)
    assert judge(asked("mirror.corp")) == Dial(private=True)


@pytest.mark.parametrize(
    "word", ["a b", "https://pypi.org", "pypi.org:0", "pypi.org:99999", "pypi.org:x", "*.", "", HOST]
)
def test_what_names_no_host_is_refused(word: str) -> None:
    with pytest.raises(ConfigError):
        decide((word,), (), gateway)


def attempt(host: str, port: int = 443, outcome: str = "refused", carrier: str = "connect") -> Attempt:
    code = "not-listed" if outcome == "refused" else ""
    return Attempt(0, Asked(carrier, host, port), outcome, code, "", "", 10, 20)  # type: ignore[arg-type]


def test_attempts_are_counted_by_host_and_what_is_known_of_one_is_said() -> None:
    first: list[Attempt] = []
    tally = Tally((Residual("*.example.com", "its telemetry"),), first.append)
    for one in (
        attempt("a.example.com"), attempt("a.example.com"), attempt("a.example.com", 0, carrier="name"),
        attempt("allowed.org", outcome="through"), attempt("allowed.org", 22),
        attempt(HOST, 80, "served", "direct"), attempt("127.0.0.1", 40_000, carrier="other"),
    ):  # fmt: skip
        tally.take(one)
    rows = {row["host"]: row for row in tally.as_json()}
    assert [row["host"] for row in tally.as_json()][:2] == ["allowed.org", HOST]
    assert (rows["a.example.com"]["attempts"], rows["a.example.com"]["ports"]) == (3, [443])
    assert (rows["a.example.com"]["verdict"], rows["allowed.org"]["verdict"]) == ("refused", "through")
    assert rows["a.example.com"]["known"] == "its telemetry"
    assert [(one.asked.host, one.asked.port) for one in first] == [
        ("a.example.com", 443), ("a.example.com", 0), ("allowed.org", 22),
    ]  # fmt: skip
    assert (tally.attempts, tally.refused) == (7, 4)
    lines = table(Account(), tally, HOST, 0, "")
    assert lines[1] == "govern: it tried to reach 2 host(s) besides the gateway:"
    assert "(known: its telemetry)" in lines[3]
    assert "127.0.0.1" not in "".join(lines)  # nothing of the machine's is there, only what the client runs itself


def test_a_client_that_makes_names_up_fills_no_memory() -> None:
    told: list[Attempt] = []
    tally = Tally((), told.append)
    for number in range(MAX_HOSTS * 2):
        tally.take(attempt(f"{number}.example.com"))
    assert len(tally.hosts()) == MAX_HOSTS + 1
    assert len(told) == MAX_HOSTS
    assert tally.refused == MAX_HOSTS * 2
    assert len(table(Account(), tally, HOST, 0, "")) < 60


@pytest.mark.parametrize(
    ("code", "verdicts", "stopped", "wanted"),
    [
        (0, {"budget": 1}, False, ExitCode.DONE),
        (1, {}, False, ExitCode.FAILED),
        (5, {"allowed": 3}, False, ExitCode.FAILED),
        (1, {"budget": 1, "guard": 1}, False, ExitCode.BUDGET),
        (1, {"guard": 1}, False, ExitCode.REFUSED),
        (1, {"policy": 1}, False, ExitCode.REFUSED),
        (1, {"unavailable": 2}, False, ExitCode.NO_MODEL),
        (1, {"unavailable": 2, "allowed": 1}, False, ExitCode.FAILED),
        (0, {}, True, ExitCode.CANCELLED),
        (130, {}, False, ExitCode.CANCELLED),
        (137, {}, False, ExitCode.FAILED),
    ],
)
def test_the_exit_code_is_told_by_the_client_and_its_calls(
    code: int, verdicts: dict[str, int], stopped: bool, wanted: ExitCode
) -> None:
    account = Account()
    for verdict, count in verdicts.items():
        for _ in range(count):
            account.count("one/1", verdict)
    assert exit_code(code, account, stopped=stopped) == wanted
