"""What the guard costs a request: the whole outbound check of the gateway, everything on, on a request of 200 kB.

    python benchmarks/guard/request.py [--rounds 20] [--secrets 10] [--json]

CPU time of the process: medians, and the least of all rounds, which other work on the machine touches least. Cold: none of the request's texts was seen before. Warm: the next turn of the same conversation, two new
messages of together 6 kB. Same: the request once more, as for a second upstream. Each is measured with nothing found and with likely
secrets that are masked, each by a guard without registered source and by one with a registered repository (this one's tests); parse
and walk alone stand beside it, in turns in one run. The request is made of this repository's own sources, as an agent reads them.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from mohist.app.guard import digest, mint, rulebook, scanner
from mohist.app.screening import Screening
from mohist.base import StatePaths, SystemClock
from mohist.gateway.call import Principal
from mohist.gateway.guard import Destination, Outbound, Pass, Replace
from mohist.gateway.screen import Screen
from mohist.guard import Request
from mohist.guard.fingerprint import Index, Source, fingerprint_path, learn, write_index

SOURCES = Path(__file__).resolve().parents[2] / "src" / "mohist"
TESTS = Path(__file__).resolve().parents[2] / "tests"
SIZE_BYTES = 200_000
SIGNS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
GOAL_MS = {"cold": 15.0, "warm": 2.0}


def conversation(dice: random.Random, secrets: int) -> list[dict[str, Any]]:
    """Messages of `SIZE_BYTES` in which files are read, `secrets` of them with a password in them."""
    files = [path for path in SOURCES.rglob("*.py") if 500 < path.stat().st_size < 20_000]
    dice.shuffle(files)
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Find out why the totals differ."}]
    size_bytes = 0
    while size_bytes < SIZE_BYTES:
        number = len(messages)
        text = files[number % len(files)].read_text(encoding="utf-8")
        if number // 2 < secrets:
            text += f"\nTOKEN = 'ghp_{''.join(dice.choice(SIGNS) for _ in range(36))}'\n"
        call = {"type": "tool_use", "id": f"t{number}", "name": "Read", "input": {"file_path": f"/work/{number}.py"}}
        result = {"type": "tool_result", "tool_use_id": f"t{number}", "content": f"{dice.randrange(10**9)}\n{text}"}
        messages += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
        size_bytes += len(text.encode())
    return messages


def outbound(messages: list[dict[str, Any]]) -> Outbound:
    body = {"model": "m", "system": "You are a coding agent. " * 200, "messages": messages, "max_tokens": 8_000}
    destination = Destination("vendor", "acme", "us", "", self_hosted=False)
    return Outbound(
        "call-1",
        Principal("key-1", "ann"),
        "cli/1",
        "anthropic-messages",
        "session",
        "m",
        destination,
        json.dumps(body).encode(),
    )


def took_ms(work: Callable[[], object]) -> float:
    start_s = time.process_time()
    work()
    return (time.process_time() - start_s) * 1000


def measured(screens: dict[str, Screen], rounds: int, most: int) -> dict[str, list[float]]:
    """CPU milliseconds by row, a value a round."""
    dice = random.Random(11)
    figures: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for what, secrets in (("clean", 0), ("masked", most)):
            messages = conversation(dice, secrets)
            first = outbound(messages)
            turn = [{"role": "assistant", "content": f"It is {dice.randrange(10**9)}."}]
            turn += [{"role": "user", "content": f"{dice.randrange(10**9)} {dice.choice(messages)['content']!s:.6000}"}]
            second = outbound(messages + turn)
            row = {f"parse and walk, {what}": took_ms(lambda body=first.body: Request(body, "anthropic-messages"))}
            for kind, screen in screens.items():
                verdicts = []
                for name, call in (("cold", first), ("same", first), ("warm", second)):
                    start_s = time.process_time()
                    verdicts.append(screen.outbound(call))
                    row[f"{name}, {what}, {kind}"] = (time.process_time() - start_s) * 1000
                # Sources hold a false alarm now and then.
                wanted = Replace if secrets else Pass | Replace
                if not all(isinstance(verdict, wanted) for verdict in verdicts):
                    said = [type(verdict).__name__ for verdict in verdicts]
                    raise SystemExit(f"what was to be {what} was not: {said}")
            if number:  # the first one compiles what is compiled when it is first needed
                for name, value in row.items():
                    figures.setdefault(name, []).append(value)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--secrets", type=int, default=10, help="masked in the requests that hold some")
    parser.add_argument("--cache", type=Path, help="folder of compiled patterns (default: none is kept)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    # Rules of its own, so that no secret is found surely enough to be blocked, nor what sources and their tests have in common.
    mask: dict[str, Any] = {"name": "benchmark", "action": "mask", "classes": ["secret"], "min_confidence": 0.5}
    note: dict[str, Any] = {"name": "registered", "action": "note", "classes": ["source"]}
    settings = Screening(rules=(mask, note))
    with tempfile.TemporaryDirectory() as folder:
        screens: dict[str, Screen] = {}
        for name in ("no index", "index"):
            paths = StatePaths(Path(folder) / name.replace(" ", "-"))
            paths.home.mkdir(mode=0o700, parents=True)
            if name == "index":
                registered = [Source(path.name, path.read_bytes()) for path in TESTS.rglob("*.py")]
                learnt = learn("tests", "source.restricted", registered)
                write_index(fingerprint_path(paths.home), Index([learnt.repository]))
            env = {"XDG_CACHE_HOME": str((args.cache or Path(folder) / "cache").resolve())}
            looker = scanner(settings, paths, env)
            screens[name] = Screen(
                looker, rulebook(settings), mint(settings, paths), digest(settings, paths), SystemClock()
            )
        figures = measured(screens, args.rounds, args.secrets)
    size_bytes = len(outbound(conversation(random.Random(11), 0)).body)
    middle = {name: round(median(values), 2) for name, values in figures.items()}
    least = {name: round(min(values), 2) for name, values in figures.items()}
    if args.json:
        print(json.dumps({"cpu_ms": middle, "least_cpu_ms": least, "size_bytes": size_bytes, "goal_ms": GOAL_MS}))
        return
    print(
        f"request of about {size_bytes:,} bytes, {args.rounds} rounds, CPU ms (median, least); masked: {args.secrets} secrets"
    )
    for name, value in middle.items():
        goal = GOAL_MS.get(name.partition(",")[0])
        print(f"{name:32} {value:8.2f} {least[name]:8.2f}" + (f"   goal {goal:g}" if goal else ""))


if __name__ == "__main__":
    main()
