"""What a person sees and types on a real pseudo-terminal, and what a pipe gets instead."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence

import pytest
from developer import LIMIT_S, Developer, Endpoint, call, says, shell, until

pytestmark = pytest.mark.enable_socket
Start = Callable[..., Endpoint]
ASK = call("ask", question="Which colour?", recommended="blue")


class Screen:
    """A child on a pseudo-terminal of its own, as in a terminal window."""

    def __init__(self, dev: Developer, words: Sequence[str], **env: str) -> None:
        self._master, slave = os.openpty()

        def take_terminal() -> None:
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        self.child = subprocess.Popen(
            [sys.executable, "-m", "mohist", *words],
            cwd=dev.repo,
            env=dev.env | {"TERM": "xterm-256color"} | env,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=take_terminal,
        )
        os.close(slave)
        dev.started.append(self.child)
        self.text = ""
        self._seen = 0

    def wait_for(self, text: str) -> None:
        """Reads until `text` is shown after what was waited for last."""
        deadline_s = time.monotonic() + LIMIT_S
        while (at := self.text.find(text, self._seen)) < 0:
            assert time.monotonic() < deadline_s, self.text
            assert self._read(), f"it ended without {text!r}: {self.text}"
        self._seen = at + len(text)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def end(self) -> int:
        """Reads to the end; the exit code."""
        deadline_s = time.monotonic() + LIMIT_S
        while self._read():
            assert time.monotonic() < deadline_s, self.text
        os.close(self._master)
        return self.child.wait(LIMIT_S)

    def _read(self) -> bool:
        if not select.select([self._master], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: nobody holds the other end
            return False
        self.text += data.decode("utf-8", "replace")
        return bool(data)


def test_a_person_answers_yes_always_and_no(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(
        shell("frobnicate once"),
        shell("frobnicate all"),
        shell("frobnicate again"),
        shell("transmogrify"),
        says("Done."),
    )
    screen = Screen(dev, ["run", "--model", endpoint.model, "do it"])
    for answer in ("y\n", "a\n", "n\n"):
        screen.wait_for("[N]o: ")
        screen.type(answer)
    assert screen.end() == 0
    results = endpoint.results()
    assert all("command not found" in text for text in results[:3])
    assert "The user said no" in results[3]
    assert [record["covers"] for record in dev.records() if record["kind"] == "grant"] == ["frobnicate"]
    assert "\x1b[32m" in screen.text
    assert "denied: $ transmogrify" in screen.text


def test_a_question_takes_what_is_typed_and_an_empty_line_takes_the_recommendation(
    dev: Developer, upstream: Start
) -> None:
    endpoint = upstream(says("", ASK), says("", call("ask", question="Sure?", recommended="yes")), says("Done."))
    screen = Screen(dev, ["run", "--model", endpoint.model, "do it"])
    screen.wait_for("[Enter: blue] ")
    screen.type("grün\n")
    screen.wait_for("[Enter: yes] ")
    screen.type("\n")
    assert screen.end() == 0
    assert "grün" in endpoint.results()[0]
    assert "yes" in endpoint.results()[1]


def test_what_was_typed_before_a_question_is_no_answer_to_it(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(shell("frobnicate"), says("Done."))
    screen = Screen(dev, ["run", "--model", endpoint.model, "do it"])
    screen.type("y\n")
    screen.wait_for("[N]o: ")
    screen.type("\n")
    assert screen.end() == 0
    assert "The user said no" in endpoint.results()[0]


def test_the_end_of_input_is_a_no(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(shell("frobnicate"), says("Done."))
    screen = Screen(dev, ["run", "--model", endpoint.model, "do it"])
    screen.wait_for("[N]o: ")
    screen.type("\x04")
    assert screen.end() == 0
    assert "The user said no" in endpoint.results()[0]


@pytest.mark.parametrize("how", ["key", "signal"])
def test_a_run_that_waits_for_a_person_can_be_stopped(dev: Developer, upstream: Start, how: str) -> None:
    endpoint = upstream(shell("frobnicate"), says("Done."))
    screen = Screen(dev, ["run", "--model", endpoint.model, "do it"])
    screen.wait_for("[N]o: ")
    if how == "key":
        screen.type("\x03")
    else:
        screen.child.send_signal(signal.SIGTERM)
    assert screen.end() == 130
    assert dev.kinds()[-1] == "ended"


def test_ctrl_c_on_a_terminal_ends_the_command_that_runs(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(shell(dev.sleeper()), says("Done."))
    screen = Screen(dev, ["run", "--model", endpoint.model, "do it"])
    until(dev.running, "the sleeper")
    screen.type("\x03")
    assert screen.end() == 130
    assert dev.running() == []
    assert dev.records()[-1]["status"] == "cancelled"


def test_commands_can_neither_read_the_terminal_nor_open_it(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(shell("cat; tty; cat < /dev/tty; echo over"), says("Done."))
    screen = Screen(dev, ["run", "--mode", "full", "--model", endpoint.model, "do it"])
    assert screen.end() == 0
    assert "not a tty" in endpoint.results()[0]
    assert "over" in endpoint.results()[0]


def test_headless_asks_nobody_even_on_a_terminal_and_no_color_is_heard(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(shell("frobnicate"), says("", ASK), says("Done."))
    screen = Screen(dev, ["run", "--headless", "--model", endpoint.model, "do it"], NO_COLOR="1")
    assert screen.end() == 0
    assert "nobody can be asked" in endpoint.results()[0]
    assert "blue" in endpoint.results()[1]
    assert "\x1b[" not in screen.text


def test_trust_is_asked_for_on_a_terminal(dev: Developer) -> None:
    dev.write(".mohist/mohist.toml", 'checks = ["true"]\n')
    screen = Screen(dev, ["trust"])
    screen.wait_for("trust exactly this? [y/N] ")
    screen.type("n\n")
    assert screen.end() == 3
    screen = Screen(dev, ["trust"])
    screen.wait_for("trust exactly this? [y/N] ")
    screen.type("y\n")
    assert screen.end() == 0
    assert dev.mohist("trust", "--list").out.strip() == str(dev.repo)


def test_a_pipe_gets_the_result_alone_and_no_colour(dev: Developer, upstream: Start) -> None:
    said = dev.run(upstream(shell("echo 1 > made"), says("Done.")))
    assert said.code == 0
    assert "\x1b" not in said.out + said.err
    assert "● run-" in said.err
    assert "● run-" not in said.out
    quiet = dev.run(upstream(says("Done.")), "--quiet")
    assert quiet.err == ""


def test_json_is_one_object_and_a_stream_is_an_object_a_line(dev: Developer, upstream: Start) -> None:
    said = dev.run(upstream(shell("echo 1 > made"), says("Done.")), "--output", "json")
    assert set(said.json) == FIELDS
    assert (said.json["status"], said.json["exit_code"], said.json["diff_stat"]) == ("done", 0, ["made +1 -0"])
    said = dev.run(upstream(shell("echo 1 > made2"), says("Done.")), "--output", "stream-json")
    rows = [json.loads(line) for line in said.out.splitlines()]
    kinds = [row["type"] for row in rows]
    assert kinds.count("result") == 1
    assert kinds[-2:] == ["run_ended", "result"]
    assert {"run_started", "model_waiting", "model_answered", "tool_started", "tool_finished", "text_spoken"} <= set(
        kinds
    )


@pytest.mark.parametrize("output", ["text", "json", "stream-json"])
@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_reader_that_goes_away_does_not_stop_the_run(
    dev: Developer, upstream: Start, output: str, closed: str
) -> None:
    endpoint = upstream(shell("echo 1 > made"), says("Done."))
    child = dev.start("run", "--model", endpoint.model, "--output", output, "do it")
    stream = getattr(child, closed)
    stream.close()
    other = child.stderr if closed == "stdout" else child.stdout
    assert other is not None
    text = other.read().decode()
    assert child.wait(LIMIT_S) == 0, text
    assert "Traceback" not in text
    assert dev.read("made") == "1\n"
    assert dev.records()[-1]["status"] == "done"


FIELDS = {
    "type", "run_id", "status", "summary", "detail", "model", "mode", "sandbox", "network", "workspace", "branch",
    "turns", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "cost_microusd", "diff_stat",
    "evidence", "denied", "reached", "exit_code",
}  # fmt: skip
