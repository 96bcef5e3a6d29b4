#!/usr/bin/env python3
"""What looking for secrets costs: our matcher beside plain expressions and another engine, in one run.

    python benchmarks/guard/speed.py FOLDER [--rounds 7] [--cache FOLDER] [--tree-mb 20]

FOLDER holds sources. From them come a request of 200 kB in 480 texts, as an agent sends it, and a tree. Rows are run in turns,
each once a round; shown are medians of CPU time, so compare the rows of one run. Engines: our rules on Hyperscan and RE2, on RE2
alone, by Python's `re` behind keywords; the rules of the kingfisher-secret-scanner wheel by its own engine; all detectors of the
guard with decoding, for a first request and for the next turn of the same conversation (10 kB more).
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import hyperscan
from corpus import texts

from mohist.app.detector import detectors
from mohist.app.screening import Screening
from mohist.guard import Block, Scanner, View, keyed
from mohist.guard.matcher import build_matcher
from mohist.guard.matcher.native import HyperscanMatcher
from mohist.guard.secret import secret_detector

REQUEST_CHARS = 200_000
TEXTS = 480
TURN_CHARS = 10_000
Row = tuple[str, Callable[[Sequence[str]], object]]


def pieces(texts: Iterable[str], total_chars: int, count: int) -> list[str]:
    """As many pieces as asked for, of one length, from the beginnings of files."""
    size = total_chars // count
    found: list[str] = []
    for text in texts:
        for at in range(0, len(text) - size, size):
            found.append(text[at : at + size])
            if len(found) == count:
                return found
    raise SystemExit(f"The folder holds less than {total_chars} characters of source.")


def looked_for(matcher_engine: str, cache: Path) -> Callable[[Sequence[str]], object]:
    """Our secret rules on one engine."""
    detector = secret_detector()
    matcher = build_matcher([detector], engine=matcher_engine, cache=cache)  # type: ignore[arg-type]

    def run(texts: Sequence[str]) -> int:
        count = 0
        for text in texts:
            view = View(text)
            if ours := matcher.matches(view).get("secret"):
                count += len(list(detector.detect(view, Block(text), ours)))
        return count

    return run


def raw(cache: Path) -> Callable[[Sequence[str]], object]:
    """Hyperscan's pass over the same patterns, with nothing done about what it reports."""
    matcher = build_matcher([secret_detector()], engine="hyperscan", cache=cache)
    assert isinstance(matcher, HyperscanMatcher)
    database, scratch = matcher._database, matcher._scratch()
    assert isinstance(database, hyperscan.Database)

    def run(texts: Sequence[str]) -> None:
        for text in texts:
            database.scan(text.encode("utf-8", "replace"), match_event_handler=lambda *_: None, scratch=scratch)

    return run


def plain() -> Callable[[Sequence[str]], object]:
    """The same expressions in Python's `re`, each behind its keywords; those that it can't read are left out."""
    path = Path(__file__).resolve().parents[2] / "scripts/guard_catalogue.py"
    specification = importlib.util.spec_from_file_location("guard_catalogue", path)
    assert specification is not None
    assert specification.loader is not None
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    rules: list[tuple[tuple[str, ...], re.Pattern[str]]] = []
    for rule in secret_detector().rules.values():
        try:
            rules.append((rule.keywords, re.compile(script.pythonic(rule.expression), re.ASCII)))
        except re.error:
            continue

    def run(texts: Sequence[str]) -> int:
        count = 0
        for text in texts:
            lower = text.lower()
            for keywords, expression in rules:
                if not keywords or any(word in lower for word in keywords):
                    count += sum(1 for _ in expression.finditer(text))
        return count

    return run


def other() -> Callable[[Sequence[str]], object] | None:
    """The wheel's own engine on its own 488 rules; None where it is not installed."""
    if importlib.util.find_spec("kingfisher_sdk") is None:
        return None
    from kingfisher_sdk.rules import Rules
    from kingfisher_sdk.scanner import Scanner as SecondOpinion

    engine = SecondOpinion(Rules(cache=False), base64=False)

    def run(texts: Sequence[str]) -> int:
        return sum(len(engine.scan(text)) for text in texts)

    return run


def everything(cache: Path) -> Scanner:
    """All detectors."""
    with tempfile.TemporaryDirectory() as home:
        found = detectors(Screening(), Path(home), b"key of a bench, no secret" * 2)
    return Scanner(found, build_matcher(found, cache=cache), keyed(b"bench"))


def medians(rows: Sequence[tuple[str, Callable[[], object]]], rounds: int) -> dict[str, float]:
    """CPU seconds by row."""
    times: dict[str, list[float]] = {name: [] for name, _ in rows}
    for _ in range(rounds):
        for name, run in rows:
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cache", type=Path, help="folder for compiled patterns, mode 0700")
    parser.add_argument("--tree-mb", type=float, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        return measure(arguments.folder, arguments.cache or Path(made), arguments.rounds, arguments.tree_mb)


def measure(folder: Path, cache: Path, rounds: int, tree_mb: float) -> int:
    found = (text for _, text in texts(folder))
    cut = pieces(found, REQUEST_CHARS + TURN_CHARS, TEXTS + TEXTS * TURN_CHARS // REQUEST_CHARS)
    request, more = cut[:TEXTS], cut[TEXTS:]
    tree: list[str] = []
    for _, text in texts(folder):
        tree.append(text)
        if sum(map(len, tree)) > tree_mb * 1e6:
            break
    size_mb = sum(map(len, tree)) / 1e6
    small = tree[: max(1, len(tree) // 20)]
    small_mb = sum(map(len, small)) / 1e6

    start = time.perf_counter()
    ours = looked_for("hyperscan", cache)
    first_s = time.perf_counter() - start
    start = time.perf_counter()
    looked_for("hyperscan", cache)
    again_s = time.perf_counter() - start
    engines: list[Row] = [("Hyperscan's pass alone", raw(cache)), ("secret rules, Hyperscan and RE2", ours)]
    second = other()
    if second is not None:
        engines.append(("kingfisher wheel, its 488 rules", second))
    slow: list[Row] = [
        ("secret rules, RE2 alone", looked_for("re2", cache)),
        ("secret rules, re behind keywords", plain()),
    ]
    # A scanner keeps what it saw, so that a first request needs a fresh one each round.
    whole = everything(cache)
    full = [Block(text, "tool_result") for text in request]
    longer = [*full, *(Block(text, "tool_result") for text in more)]

    def opening() -> None:
        whole._cache.clear()
        whole.scan(full)

    def turn() -> None:
        whole.scan(longer)

    rows = [(name, lambda run=run: run(request)) for name, run in (*engines, *slow)]
    taken = medians([*rows, ("everything on, first request", opening), ("everything on, next turn", turn)], rounds)
    fast = medians([(name, lambda run=run: run(tree)) for name, run in engines], max(3, rounds // 2))
    rest = medians([(name, lambda run=run: run(small)) for name, run in slow], 1)
    say = sys.stdout.write
    say(f"start: {first_s:.2f} s (compiling, where nothing was kept), then {again_s * 1000:.0f} ms\n\n")
    say(f"| engine | request of 200 kB, ms | tree of {size_mb:.0f} MB, MB/s |\n|---|---|---|\n")
    for name, seconds in taken.items():
        speed = size_mb / fast[name] if name in fast else small_mb / rest[name] if name in rest else 0.0
        say(f"| {name} | {seconds * 1000:.1f} | {f'{speed:.1f}' if speed else '-'} |\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
