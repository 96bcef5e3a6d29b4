"""`mohist demo`: two deliveries of a sample service, the whole way, from recordings; nothing of it is left running."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest
from developer import Developer, Said, until

pytestmark = pytest.mark.enable_socket
LIMIT_S = 150
"""Two deliveries with some thirty commands in sandboxes; the machine may have much else to do."""


def demo(dev: Developer, *words: str) -> Said:
    """Runs it to its end, for a user who never used Mohist."""
    child = dev.start("demo", *words, cwd=dev.room, HOME=str(dev.room), TMPDIR=str(dev.room))
    out, err = child.communicate(timeout=LIMIT_S)
    return Said(child.returncode, out.decode(), err.decode()).is_clean()


def processes(name: str) -> list[str]:
    """Command lines that name it."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if entry.name.isdigit() and name in line:
            found.append(line)
    return found


@pytest.mark.release
@pytest.mark.timeout(LIMIT_S + 50)
def test_the_demo_delivers_takes_back_and_leaves_nothing_running(dev: Developer) -> None:
    said = demo(dev)
    assert said.code == 0, said.out + said.err
    assert said.err.splitlines()[0].startswith("model: replay of recorded runs")
    for text in ("approve spec v1", "approve merge into main", "approve deploy to staging", "plan skipped: short way"):
        assert text in said.err
    told = re.search(r"(\d+) requests of users meanwhile, (\d+) failed", said.out)
    assert told is not None, said.out
    assert int(told[1]) > 10
    assert int(told[2]) == 0
    assert re.search(r"release rel-\S+ is rolled-back: .*500", said.out)

    served, taken_back = (
        Path(path).with_suffix(".md").read_text("utf-8") for path in re.findall(r"report: (\S+)", said.out)
    )
    assert "AC" in served
    assert "committed" in served
    assert "rolled" in taken_back
    rows = dev.mohist("deliver", "list", "--json").json
    assert [row["status"] for row in rows] == ["done", "failed"]

    bare = Path(rows[0]["options"]["remote"])
    assert bare.is_relative_to(dev.room)
    log = subprocess.run(
        ["git", "-C", bare, "show", "main:parcel/price.py"], capture_output=True, check=True, env=dev.env
    )
    assert b"FREE_FROM" in log.stdout

    port = re.search(r"http://127\.0\.0\.1:(\d+)", said.out)
    assert port is not None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(port[1])), timeout=5)
    until(lambda: not processes(str(dev.home)), "the service to end")
    assert not list(dev.home.glob("deliveries/*/ground"))
    assert not list(dev.home.glob("targets/*"))


def test_what_belongs_to_one_run_is_refused_for_deliveries(dev: Developer) -> None:
    said = dev.mohist("demo", "--output", "json")
    assert said.code == 2
    assert "mohist demo --run" in said.err
