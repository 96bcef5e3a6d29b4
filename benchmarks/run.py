"""Measures Mohist beside mini-swe-agent on the same scripted model, side by side in one run.

    python benchmarks/run.py [--json] [--quick] [--mini PREFIX | --alone] [--only NAME …]

Timings are noisy, and other work on the machine is part of them; the ratios count. Nothing is asserted here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

from measure import Bench, Figure

from client import MINI_PACKAGES, Client, Mini, Mohist

# Tokens (bytes/4) of system prompt and tools in the first request of other clients, taken from their requests to a
# scripted model on 2026-11-22, each with default settings and a fresh home.
ELSEWHERE = {
    "pi-coding-agent 0.73.1": 1330,
    "goose 1.52.0": 4426,
    "opencode 1.18.33": 7629,
    "mistral-vibe 3.0.2": 7998,
    "OpenHands CLI 1.16.0": 8683,
    "Codex CLI 0.169.0": 9344,
    "Claude Code 2.1.330": 11714,
    "Gemini CLI 0.61.0": 12080,
    "Qwen Code 0.24.4": 17117,
    "Kimi Code 2.1.0": 20689,
}

MEASURES = ("start", "turns", "memory", "size", "edits", "searches")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="all values, not only the medians")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and turns")
    parser.add_argument(
        "--mini", type=Path, metavar="PREFIX", help=f"environment that has {' and '.join(MINI_PACKAGES)}"
    )
    parser.add_argument("--alone", action="store_true", help="only Mohist")
    parser.add_argument(
        "--only", choices=MEASURES, nargs="+", default=MEASURES, metavar="NAME", help=", ".join(MEASURES)
    )
    args = parser.parse_args()
    rounds, turns = (2, 50) if args.quick else (5, 200)
    with tempfile.TemporaryDirectory(prefix="mohist-bench-") as room:
        clients: list[Client] = [Mohist()]
        if not args.alone:
            if not args.mini:
                _say(f"installing {' '.join(MINI_PACKAGES)} into a folder of its own; --mini PREFIX saves that")
            clients.append(Mini(args.mini.absolute()) if args.mini else Mini.install(Path(room) / "mini"))
        bench = Bench(Path(room), clients, rounds)
        steps = {
            "start": bench.start,
            "turns": lambda: Bench(Path(room), clients, min(rounds, 3)).turns(turns),
            "memory": lambda: bench.memory(turns),
            "size": bench.size,
            "edits": lambda: Bench(Path(room), clients, min(rounds, 3)).edits(10),
            "searches": lambda: Bench(Path(room), clients, min(rounds, 3)).searches(20),
        }
        figures: list[Figure] = []
        for name in args.only:
            _say(f"measuring: {name}")
            figures += steps[name]()
    names = [client.name for client in clients]
    print(json.dumps(_as_json(figures), indent=1) if args.json else _table(figures, names))
    return 0


def _as_json(figures: list[Figure]) -> dict[str, object]:
    return {
        "machine": _machine(),
        "figures": [
            {"name": row.name.strip(), "unit": row.unit, "goal": row.goal, "values": row.values} for row in figures
        ],
        "first_request_tokens_elsewhere": ELSEWHERE,
    }


def _table(figures: list[Figure], names: list[str]) -> str:
    """Markdown: the medians, how Mohist compares, and what it should keep to."""
    lines = [_machine(), "", f"| | {' | '.join(names)} | mohist / other | goal |", "|---|" + "---:|" * (len(names) + 2)]
    for row in figures:
        middles = [row.middle(name) for name in names]
        cells = [_number(value, row.unit) for value in middles]
        ratio = f"{middles[0] / middles[1]:.2f}" if len(middles) == 2 and middles[0] and middles[1] else ""
        goal = "" if row.goal is None else _number(row.goal, row.unit)
        lines.append(f"| {row.name.replace('  ', '&emsp;')} | {' | '.join(cells)} | {ratio} | {goal} |")
        lines += [
            f"| &emsp;{extra} alone | {_number(row.middle(extra), row.unit)} |{' |' * (len(names) + 1)}"
            for extra in row.values.keys() - set(names)
        ]
    lines += ["", "Tokens of system prompt and tools in the first request elsewhere (2026-11-22):", ""]
    lines.append(", ".join(f"{name} {tokens:,}" for name, tokens in ELSEWHERE.items()))
    return "\n".join(lines)


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    digits = {"s": 2, "ms": 1, "x": 2}.get(unit, 0)
    return f"{value:,.{digits}f} {'' if unit == 'x' else unit}".strip()


def _machine() -> str:
    load = os.getloadavg()[0]
    python = platform.python_version()
    return f"{platform.system()} {platform.release()}, {os.cpu_count()} processors, Python {python}, load {load:.1f} at the end"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
