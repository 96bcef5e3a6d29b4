"""docs/admin.md works as it stands, against `mohist serve`."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.enable_socket
GUIDE = Path(__file__).parents[2] / "docs" / "admin.md"
ROUTES = """\
[[routes]]
model = "qwen3-coder"
[[routes.upstreams]]
name = "our-own"
dialect = "openai-chat"
url = "https://models.example.com/v1"
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An installation with a route, and the command in its path."""
    home, programs = tmp_path / "home", tmp_path / "bin"
    home.mkdir()
    programs.mkdir()
    (home / "routes.toml").write_text(ROUTES, encoding="utf-8")
    command = programs / "mohist"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mohist "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    return {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path), "MOHIST_HOME": str(home)}


@pytest.fixture
def url(env: dict[str, str]) -> Iterator[str]:
    """A running server."""
    command = [sys.executable, "-m", "mohist", "serve", "--port", "0"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()
            server.wait(60)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the guide's examples are written for curl")
def test_the_examples_run_from_top_to_bottom(env: dict[str, str], url: str, tmp_path: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    script = "".join(blocks).replace("http://127.0.0.1:8484", url)
    assert script.count("api ") > 12
    # Each answer on its own line.
    script = script.replace("curl -sS", "curl --max-time 20 -w '\\n' -sS")
    done = subprocess.run(
        ["sh", "-euc", script], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    answers = [json.loads(line) for line in done.stdout.splitlines() if line]
    assert answers[0]["roles"] == ["admin"]
    assert any(answer.get("status") == "revoked" for answer in answers)
    assert [event["action"] for event in answers[-1]["data"]][:2] == ["budget.remove", "budget.set"]
    assert answers[-1]["data"][-1]["door"] == "command"
    with (tmp_path / "calls.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file))[0] == "started_at"
