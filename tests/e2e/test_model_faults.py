"""A model endpoint that is busy, breaks off, or talks nonsense: a clear word, nothing lost, nothing done twice."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import pytest
from developer import Developer, Endpoint, call, says, shell, until

from fakes.upstream import Received, Reply, chat_wire, error_reply

pytestmark = pytest.mark.enable_socket
Start = Callable[..., Endpoint]
AT_ONCE = [("retry-after", "0.05")]


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (error_reply(429, "rate_limit", "slow down", AT_ONCE), "HTTP 429"),
        (error_reply(529, "overloaded_error", "busy", AT_ONCE), "HTTP 529"),
        (error_reply(503, "unavailable", "away", AT_ONCE), "HTTP 503"),
    ],
)
def test_a_busy_model_is_asked_again(dev: Developer, upstream: Start, reply: Reply, told: str) -> None:
    endpoint = upstream(reply, says("All done."))
    said = dev.run(endpoint)
    assert said.code == 0, said.err
    assert told in said.err
    assert "attempt 2" in said.err
    assert endpoint.requests[0].json == endpoint.requests[1].json
    assert dev.kinds()[-3:] == ["assistant", "assistant", "ended"]


def test_a_model_that_wants_a_long_wait_ends_the_run_and_it_can_go_on(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(
        shell("echo 1 > made"), error_reply(429, "rate_limit", "quota", [("retry-after", "900")]), says("All done.")
    )
    said = dev.run(endpoint)
    assert said.code == 5
    assert "wait 900 s" in said.out
    assert "runs resume run-" in said.out
    assert dev.read("made") == "1\n"
    resumed = dev.mohist("runs", "resume", "last")
    assert resumed.code == 0, resumed.err
    assert endpoint.requests[2].json == endpoint.requests[1].json
    assert "made +1 -0" in resumed.out


def test_an_endpoint_that_comes_up_late_is_reached(dev: Developer, upstream: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    child = dev.start("run", "--model", f"http://127.0.0.1:{port}/v1#m", "do it")
    log = until(dev.logs, "the log")[0]
    until(lambda: b'"failure":"network' in log.read_bytes(), "the first attempt")
    with Endpoint([says("All done.")], port):
        said = dev.ended(child)
    assert said.code == 0, said.err
    assert "no connection" in said.err


@pytest.mark.parametrize("chunked", [True, False])
def test_a_stream_cut_inside_a_call_is_asked_for_again_and_nothing_runs(
    dev: Developer, upstream: Start, chunked: bool
) -> None:
    wire = chat_wire("", [call("shell", command="touch cut-off")])
    endpoint = upstream(Reply(wire, cut_at=wire.index(b"cut-"), chunked=chunked), shell("ls"), says("All done."))
    said = dev.run(endpoint)
    assert said.code == 0, said.err
    assert not (dev.repo / "cut-off").exists()
    assert endpoint.requests[1].json == endpoint.requests[0].json
    assert [outcome["summary"] for outcome in dev.outcomes()] == ["exit code 0"]


def test_a_call_cut_off_at_the_output_limit_does_not_run(dev: Developer, upstream: Start) -> None:
    whole = Reply(chat_wire("", [("c1", "write", '{"path": "x", "content": "half"}')], finish="length"))
    endpoint = upstream(whole, says("All done."))
    said = dev.run(endpoint)
    assert said.code == 0
    assert not (dev.repo / "x").exists()
    assert "cut off at the output limit" in endpoint.words(1)


def test_a_request_that_is_too_long_is_shortened_and_sent_again(dev: Developer, upstream: Start) -> None:
    def summary(received: Received) -> Reply:
        assert "greet.py" in json.dumps(received.json["messages"])
        return says("The user wants it done. Six files were looked at.")

    # Each is long, and each is another command, so that nobody takes them for a circle.
    looks = [shell(f"head -c {28_000 + n} /dev/zero | tr '\\0' x | fold -w 200") for n in range(6)]
    overflow = error_reply(400, "context_length_exceeded", "This model's maximum context length is 30000 tokens")
    endpoint = upstream(*looks, overflow, summary, says("All done."))
    said = dev.run(endpoint, task="look at greet.py")
    assert said.code == 0, said.out + said.err
    assert "summary" in dev.kinds()
    assert "look at greet.py" in endpoint.words()
    assert "Six files were looked at" in endpoint.words()
    assert len(endpoint.requests[-1].body) < len(endpoint.requests[-3].body)


def test_an_empty_answer_is_asked_about_and_three_end_the_run(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(says(""), says("All done."))
    assert dev.run(endpoint).code == 0
    assert "Your answer was empty" in endpoint.words(1)
    said = dev.run(upstream(says(""), says(""), says("")))
    assert said.code == 1
    assert "3 empty answers" in said.out


def test_unknown_tools_and_malformed_arguments_are_told_to_the_model(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(
        says("", call("teleport", to="x")),
        Reply(chat_wire("", [("c1", "shell", "{nope")])),
        says("", call("read", path=5)),
        says("", call("read", path="greet.py")),
        says("All done."),
    )
    settings = dev.run(endpoint)
    # Three malformed calls in a row end a run; a good one between them would not.
    assert settings.code == 1
    assert "malformed calls 3 times" in settings.out
    results = [outcome["text"] for outcome in dev.outcomes()]
    assert "There is no tool 'teleport'. The tools are: ask, done, edit" in results[0]
    assert "not valid JSON" in results[1]
    assert "'path' of 'read' must be a string" in results[2]
    assert dev.mohist("runs", "resume", "last").code == 0


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (error_reply(400, "invalid_request_error", "bad field"), "HTTP 400"),
        (error_reply(404, "not_found", "no such model"), "HTTP 404"),
        (Reply(b"<html>hello</html>", content_type="text/html"), "text/html"),
    ],
)
def test_what_would_fail_again_is_not_sent_again(dev: Developer, upstream: Start, reply: Reply, told: str) -> None:
    endpoint = upstream(reply, says("never"))
    said = dev.run(endpoint)
    assert said.code == 1
    assert told in said.out
    assert len(endpoint.requests) == 1
    assert dev.records()[-1]["status"] == "failed"


def test_a_replay_that_does_not_fit_says_where(dev: Developer, upstream: Start) -> None:
    recording = dev.room / "recording"
    endpoint = upstream(shell("cat greet.py"), says("It prints hello."))
    assert dev.run(endpoint, "--record", str(recording)).code == 0
    again = dev.mohist("run", "--model", f"replay:{recording}", "do it")
    assert again.code == 0, again.err
    assert "It prints hello." in again.out
    dev.write("greet.py", "print('other')\n")
    other = dev.mohist("run", "--model", f"replay:{recording}", "do it")
    assert other.code == 1
    assert "does not fit the recording: turn " in other.out


def test_the_budget_of_turns_and_of_time_ends_a_run_in_order(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(shell("echo 1 > a"), shell("echo 1 > b"), says("All done."))
    said = dev.run(endpoint, "--max-turns", "1")
    assert said.code == 4
    assert "max_turns" in said.out
    assert dev.mohist("runs", "resume", "last").code == 0
    wire = chat_wire("a long thought that never ends")
    timed = dev.run(upstream(Reply(wire, stall_at=len(wire) // 2)), "--timeout-s", "0.2")
    assert timed.code == 4
    assert "timeout_s" in timed.out
    assert dev.kinds()[-1] == "ended"


def test_escapes_of_a_model_or_a_command_reach_no_terminal(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(
        says("\x1b]0;title\x07 \u202eevil", call("shell", command="printf '\\033[2Jboo\\007'")), says("\x1b[2Jdone")
    )
    said = dev.run(endpoint, task="do \x1b[31mit")
    shown = dev.mohist("runs", "show", "last")
    listed = dev.mohist("runs", "list")
    for text in (said.out, said.err, shown.out, listed.out, endpoint.results()[0]):
        assert not set(text) & {"\x1b", "\x07", "\u202e"}
