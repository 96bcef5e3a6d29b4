"""Measures what a durable segment costs: DBOS on SQLite and on PostgreSQL beside the plain engine and beside no engine.

    python benchmarks/delivery/run.py [--quick] [--json]

Timings are noisy, and other work on the machine is part of them; the ratios count. Nothing is asserted here. PostgreSQL is
the tests' own, which doesn't wait for the disk (fsync=off): its figures are those of the software alone.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "delivery"), str(Path(__file__).parent)]

from engine_room import Foreman  # noqa: E402

from fakes.postgres import Postgres  # noqa: E402
from mohist.delivery.engine.doze import REST_S  # noqa: E402
from mohist.gateway.address import URL_VARIABLE  # noqa: E402

ARRANGEMENTS = ("no engine", "plain", "DBOS, SQLite", "DBOS, PostgreSQL")
WAITING = 1_000
GOALS = {"a step": "≤ 10 ms", "takeover": "≤ 5 s", f"{WAITING:,} wait": "< 1 %"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer of each")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="segments-") as name, server() as postgres:
        for number, arrangement in enumerate(ARRANGEMENTS):
            folder = Path(name) / str(number)
            folder.mkdir()
            url = postgres.url(postgres.new_database()) if "PostgreSQL" in arrangement else ""
            places = {"engine": url or str(folder / "engine.db"), "book": url or str(folder / "deliveries.db")}
            order = {"arrangement": arrangement, "steps": 50 if options.quick else 300, **places}
            order["segments"] = 50 if options.quick else 300
            values = trial("steps", order)
            if "DBOS" in arrangement:
                seconds = 10 if options.quick else 60
                values |= {"idle": idle(folder / "none", url, 0, seconds)}
                values |= {"waiting": idle(folder / "all", url, WAITING, seconds)}
                url = postgres.url(postgres.new_database()) if url else ""
                values |= {"yes": idle(folder / "yes", url, WAITING, seconds, yes=True)}
                values |= {"takeover": median(takeovers(folder, places, 3 if options.quick else 7))}
            found[arrangement] = values
            print(arrangement, values, file=sys.stderr, flush=True)
    print(json.dumps(found, indent=1) if options.json else table(found))
    return 0


@contextmanager
def server() -> Iterator[Postgres]:
    postgres = Postgres()
    try:
        yield postgres
    finally:
        postgres.remove()


def trial(what: str, order: dict[str, Any]) -> dict[str, float]:
    """One measurement in a process of its own."""
    child = [sys.executable, Path(__file__).parent / "child.py", what, json.dumps(order)]
    done = subprocess.run(child, stdout=subprocess.PIPE, text=True, timeout=600, check=True, env=environment())
    return json.loads(done.stdout)


def idle(home: Path, url: str, waiting: int, seconds: int, *, yes: bool = False) -> float:
    """Share of a processor that `mohist deliver work` takes when nothing runs, in percent."""
    home.mkdir()
    (home / "deliver.toml").write_text('engine = "dbos"\n', encoding="utf-8")
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "MOHIST_HOME": str(home)} | (
        {URL_VARIABLE: url} if url else {}
    )
    order = {"env": env, "waiting": waiting, "yes": yes}
    child = [sys.executable, Path(__file__).parent / "child.py", "idle", json.dumps(order)]
    process = subprocess.Popen(child, stdout=subprocess.PIPE, text=True, env=environment())
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(REST_S + 5.0)  # Until its engine is shut.
        before_s, begun_s = used_s(process.pid), time.monotonic()
        time.sleep(seconds)
        return 100 * (used_s(process.pid) - before_s) / (time.monotonic() - begun_s)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def takeovers(folder: Path, places: dict[str, str], count: int) -> list[float]:
    """From the kill of a worker to its peer's beginning the step that it was in, with the settings of earnest."""
    foreman = Foreman()
    foreman.folder = folder
    order = {"adapter": "dbos", "tick_s": 1.0, "patience_s": 2.0, "poll_s": 1.0, **places}
    found = []
    try:
        for number in range(count):
            key = f"t-{number}/1/build"
            mark = f"waiting-{key.replace('/', '-')}-"
            victim = foreman.start(keys=[[key]], slot=0, **order)
            foreman.until(f"{mark}{victim}")
            heir = foreman.start(keys=[[key]], slot=1, **order)
            foreman.until(f"ready-{heir}")
            time.sleep(1.0 + number / count)
            foreman.kill(victim)
            begun_s = time.monotonic()
            foreman.until(f"{mark}{heir}")
            found.append(time.monotonic() - begun_s)
            (folder / f"go-{key.replace('/', '-')}").touch()
            foreman.wait(heir)
    finally:
        foreman.kill_all()
        foreman.close()
    return found


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path[:3]))}


def used_s(pid: int) -> float:
    """Seconds of processor that a process took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def table(found: dict[str, dict[str, float]]) -> str:
    rows = {
        "a step that does nothing": ("step_ms", "{:.2f} ms", "a step"),
        "segments of one step, queued to done": ("segments_s", "{:,.0f} a second", ""),
        "start of a segment, by one thread": ("starts_s", "{:,.0f} a second", ""),
        "a worker killed, its step begun by a peer": ("takeover", "{:.1f} s", "takeover"),
        "a worker that has nothing to do": ("idle", "{:.1f} % of a core", ""),
        f"a worker while {WAITING:,} deliveries wait at gates": ("waiting", "{:.1f} % of a core", f"{WAITING:,} wait"),
        f"the same, where {WAITING:,} were begun with `--yes`": ("yes", "{:.1f} % of a core", f"{WAITING:,} wait"),
    }
    lines = [f"| | {' | '.join(found)} | goal |", "|---|" + "---:|" * (len(found) + 1)]
    for name, (value, form, goal) in rows.items():
        cells = [form.format(values[value]) if value in values else "–" for values in found.values()]
        lines.append(f"| {name} | {' | '.join(cells)} | {GOALS.get(goal, '')} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
