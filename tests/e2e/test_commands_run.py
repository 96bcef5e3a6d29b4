"""Commands that never end, fork, flood or refuse to die: the run stays in charge."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from developer import Developer, Endpoint, call, says, shell

from fakes.upstream import Received, Reply

pytestmark = pytest.mark.enable_socket
Start = Callable[..., Endpoint]


def test_a_command_that_never_ends_becomes_a_job_that_can_be_killed(dev: Developer, upstream: Start) -> None:
    def kill(received: Received) -> Reply:
        assert len(dev.running()) >= 1
        return says("", call("job", id="j1", action="kill"))

    endpoint = upstream(shell(dev.sleeper(), timeout_s=1), kill, says("All done."))
    said = dev.run(endpoint)
    assert said.code == 0, said.err
    assert "still running as job j1" in endpoint.results()[0]
    assert "killed as asked" in endpoint.results()[1]
    assert dev.running() == []


def test_a_command_over_the_hard_limit_is_killed_whatever_it_ignores(dev: Developer, upstream: Start) -> None:
    dev.home.mkdir()
    (dev.home / "mohist.toml").write_text("[limits]\nshell_hard_timeout_s = 0.5\n", "utf-8")
    stubborn = f"trap '' TERM HUP INT; (setsid {dev.sleeper()} &); {dev.sleeper()}; {dev.sleeper()}"
    endpoint = upstream(shell(stubborn), says("All done."))
    said = dev.run(endpoint, "--mode", "full")
    assert said.code == 0, said.err
    assert "killed: it ran longer than shell_hard_timeout_s" in endpoint.results()[0]
    assert dev.running() == []


def test_what_a_command_leaves_behind_dies_with_it(dev: Developer, upstream: Start) -> None:
    left = f"for i in 1 2 3; do (setsid nohup {dev.sleeper()} >/dev/null 2>&1 &); done; echo forked"

    def look(received: Received) -> Reply:
        assert dev.running() == []
        return says("All done.")

    endpoint = upstream(shell(left), look)
    said = dev.run(endpoint, "--mode", "full")
    assert said.code == 0, said.err
    assert "forked" in endpoint.results()[0]


def test_jobs_that_still_run_end_with_the_run(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(shell(dev.sleeper(), timeout_s=1), says("All done."))
    assert dev.run(endpoint).code == 0
    assert dev.running() == []


def test_a_flood_of_output_is_cut_and_can_be_looked_into(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(shell("head -c 30000000 /dev/zero | tr '\\0' x | fold -w 99; echo the end"), says("All done."))
    said = dev.run(endpoint)
    assert said.code == 0, said.err
    assert len(endpoint.results()[0]) < 40_000
    assert "the end" in endpoint.results()[0]
    assert "spill:" in endpoint.results()[0]


def test_a_fork_bomb_ends_with_its_command(dev: Developer, upstream: Start) -> None:
    bomb = f"b() {{ b | b & }}; b; {dev.sleeper()}"
    endpoint = upstream(shell(bomb, timeout_s=1), says("", call("job", id="j1", action="kill")), says("All done."))
    said = dev.run(endpoint, "--mode", "full")
    assert said.code == 0, said.err
    assert "killed as asked" in endpoint.results()[1]
    assert dev.running() == []


def test_commands_have_no_input_and_no_terminal(dev: Developer, upstream: Start) -> None:
    endpoint = upstream(shell("cat; read x; echo got $?; tty"), says("All done."))
    assert dev.run(endpoint).code == 0
    assert "got 1" in endpoint.results()[0]
    assert "not a tty" in endpoint.results()[0]


def test_without_network_a_command_reaches_not_even_this_machine(dev: Developer, upstream: Start) -> None:
    def connects(received: Received) -> Reply:
        port = endpoint.upstream.url.rpartition(":")[2]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2); print('reached')"
        return shell(f'python3 -c "{code}"')

    endpoint = upstream(connects, says("All done."))
    said = dev.run(endpoint)
    assert said.code == 0
    assert "reached" not in endpoint.results()[0].splitlines()
    assert "no network" in said.err
    endpoint = upstream(connects, says("All done."))
    said = dev.run(endpoint, "--network", "full")
    assert "reached" in endpoint.results()[0].splitlines()
    assert "the network was open" in said.out
