"""The benchmarks still run; what they find is for people to read and is asserted nowhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
RUN = BENCHMARKS / "run.py"


def test_a_measurement_gives_numbers_for_mohist_alone() -> None:
    done = subprocess.run(
        [sys.executable, str(RUN), "--alone", "--quick", "--json", "--only", "size"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = {figure["name"]: figure for figure in json.loads(done.stdout)["figures"]}
    [tokens] = figures["system prompt and tools, tokens (bytes/4)"]["values"]["mohist"]
    assert 0 < tokens <= 4000, "the first request is to stay small, with all tools in it"


def test_the_gateway_is_measured_without_its_peer() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "gateway" / "run.py"), "--alone", "--smoke", "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)["values"]
    for row in ("CPU per small call", "CPU per 200 kB call", "start", "memory"):
        assert all(value > 0 for value in values[row]["mohist"]), row
