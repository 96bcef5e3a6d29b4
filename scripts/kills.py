"""What scripts/test-kills runs."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "delivery")]

import delivery_kills  # noqa: E402
from engine_room import Foreman, Shop  # noqa: E402

from fakes.postgres import Postgres  # noqa: E402

AT_ONCE = 6
CALM_S = 90.0
"""How long what is under way may take to end once nobody kills any more."""


@dataclass(slots=True)
class Round:
    """What one arrangement gave."""

    name: str
    segments: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    repeated: int = 0
    missing: int = 0
    takeovers_s: list[float] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def good(self) -> bool:
        return not (self.lost or self.repeated or self.missing)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=300, help="of workers that run segments, and of their database")
    parser.add_argument(
        "--deliveries", type=int, default=8, help="whole ones, with about as many kills each as they have stages"
    )
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    # Ended from outside it still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"seed {options.seed}", flush=True)
    arrangements = [("sqlite", 1), ("sqlite", 2), ("postgresql", 1), ("postgresql", 2)]
    rounds, whole = [], []
    for number, (kind, workers) in enumerate(arrangements):
        kills = options.kills // 4 + (number < options.kills % 4)
        if kills:
            rounds.append(run(kind, workers, kills, random.Random(options.seed + number)))
            print(line(rounds[-1]), flush=True)
    for number, (kind, workers) in enumerate(arrangements):
        count = options.deliveries // 4 + (number < options.deliveries % 4)
        if count:
            whole.append(delivery_kills.run(kind, workers, count, random.Random(options.seed + number)))
            print(delivery_kills.line(whole[-1]), flush=True)
    print(table(rounds) if rounds else "")
    print(delivery_kills.table(whole) if whole else "")
    return 0 if all(one.good for one in rounds) and all(one.good for one in whole) else 1


def run(kind: str, workers: int, kills: int, chance: random.Random) -> Round:
    """Kills so often while segments run, then lets them end, and counts."""
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    shop, foreman = Shop(), Foreman()
    foreman.folder = folder
    server = Postgres() if kind == "postgresql" else None
    result = Round(f"{kind}, {workers} worker{'s' if workers > 1 else ''}")
    begun_s = time.monotonic()
    try:
        url = server.url(server.new_database()) if server else ""
        places = {"engine": url or str(folder / "engine.db"), "book": url or str(folder / "deliveries.db")}
        # As in earnest, but for the pause before a peer is taken for dead, which is measured apart.
        order = {"adapter": "dbos", "port": shop.port, "tick_s": 1.0, "patience_s": 2.0, "stays": True, **places}
        (folder / "todo").touch()
        keys: list[str] = []
        alive: dict[int, int] = {}
        for _ in range(kills):
            while len(keys) - len(over(folder)) < AT_ONCE:
                keys.append(f"d-{len(keys) + 1}/1/spec")
                with (folder / "todo").open("a", encoding="utf-8") as todo:
                    todo.write(f"{keys[-1]}\n")
            for slot in range(workers):
                if slot not in alive or not foreman.running(alive[slot]):
                    alive[slot] = foreman.start(keys=[], slot=slot, sweeps=True, **order)
            time.sleep(chance.uniform(0.05, 0.9))
            if server and chance.random() < 0.1:
                server.stop()
                time.sleep(chance.uniform(0.0, 0.5))
                server.start()
                result.kills["database"] += 1
            else:
                victim = alive[chance.choice(list(alive))]
                foreman.kill(victim, signal.SIGKILL)
                foreman.wait(victim)
                result.kills["worker"] += 1
        for slot in range(workers):
            if not foreman.running(alive[slot]):
                alive[slot] = foreman.start(keys=[], slot=slot, sweeps=True, **order)
        end_s = time.monotonic() + CALM_S
        while len(over(folder)) < len(keys) and time.monotonic() < end_s:
            time.sleep(0.1)
        if workers > 1:
            result.takeovers_s = [taken_over(foreman, alive, order, number) for number in range(3)]
        done = over(folder)
        names = [key.split("/")[0] for key in keys]
        appended = Counter(name for name in foreman.lines("effects") if name in names)
        result.segments = len(keys)
        result.lost = sum(done.get(key) != "done" for key in keys)
        result.repeated = sum(max(0, appended[name] - 1) + max(0, shop.orders[name] - 1) for name in names)
        result.missing = sum(not (appended[name] and shop.orders[name]) for name in names)
    finally:
        foreman.kill_all()
        foreman.close()
        shop.close()
        if server:
            server.remove()
        if result.good:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"kept: {folder}", file=sys.stderr)
    result.took_s = time.monotonic() - begun_s
    return result


def taken_over(foreman: Foreman, alive: dict[int, int], order: dict[str, object], number: int) -> float:
    """Kills a worker in the middle of a step, with another alive; how long until that one does the step."""
    key = f"t-{number}/1/build"
    with (foreman.folder / "todo").open("a", encoding="utf-8") as todo:
        todo.write(f"{key}\n")
    marks = f"waiting-{key.replace('/', '-')}-*"
    victim = int(foreman.until(marks)[0].name.rpartition("-")[2])
    foreman.kill(victim)
    killed_s = time.monotonic()
    heir = next(pid for pid in alive.values() if pid != victim)
    assert foreman.running(heir), f"worker {heir} has ended by itself"
    foreman.until(f"waiting-{key.replace('/', '-')}-{heir}")
    taken_s = time.monotonic() - killed_s
    (foreman.folder / f"go-{key.replace('/', '-')}").touch()
    for slot, pid in list(alive.items()):
        if pid == victim:
            foreman.wait(pid)
            alive[slot] = foreman.start(keys=[], slot=slot, sweeps=True, **order)
            foreman.until(f"ready-{alive[slot]}")
    return taken_s


def over(folder: Path) -> dict[str, str]:
    """Segments that ended, as the workers tell: what became of each."""
    found = {}
    for path in folder.glob("over-*"):
        for text in path.read_text(encoding="utf-8").splitlines():
            key, _, state = text.rpartition(" ")
            found[key] = state
    return found


def line(one: Round) -> str:
    kills = ", ".join(f"{count} of the {what}" for what, count in sorted(one.kills.items()))
    return f"{one.name}: {one.segments} segments, kills {kills}; {one.took_s:.0f} s"


def table(rounds: list[Round]) -> str:
    rows = ["", "| | kills | segments | lost | effects repeated | effects missing | takeover, median / worst |"]
    rows.append("|---|---:|---:|---:|---:|---:|---:|")
    for one in rounds:
        taken = f"{median(one.takeovers_s):.1f} s / {max(one.takeovers_s):.1f} s" if one.takeovers_s else "–"
        cells = [one.name, sum(one.kills.values()), one.segments, one.lost, one.repeated, one.missing, taken]
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    total = [sum(sum(one.kills.values()) for one in rounds), sum(one.segments for one in rounds)]
    rows.append(
        f"| all | {total[0]} | {total[1]} | {sum(one.lost for one in rounds)} | "
        f"{sum(one.repeated for one in rounds)} | {sum(one.missing for one in rounds)} | |"
    )
    return "\n".join(rows)


if __name__ == "__main__":
    os.environ.pop("PYTHONWARNINGS", None)
    sys.exit(main())
