#!/usr/bin/env python3
"""What a model of names finds, what it takes for a name and isn't one, and what asking it costs.

    python benchmarks/guard/names.py MODEL [--labelled FILE] [--sources FOLDER [--list]]

MODEL is what `[guard] names_model` would say. FILE holds labelled texts as microsoft/presidio-research writes them
(`data/synth_dataset_v2.json`, MIT). FOLDER holds sources with their documents: what is found in them per MB, by sort and
confidence, and with --list each hit with its line, to be looked at. Times are of the processor; compare those of one run.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus import SOURCE, texts

from mohist.guard import Block, Hit, Limits, View
from mohist.guard.personal import NameDetector
from mohist.guard.personal.pipeline import load_pipeline
from mohist.guard.personal.prose import prose

MASKING = 0.5
SUFFIXES = SOURCE | {".rst", ".ini", ".html", ""}
ADDRESS_LABELS = frozenset({"STREET_ADDRESS", "ZIP_CODE", "GPE"})
NAME_LABELS = frozenset({"PERSON", "TITLE"})
NEVER = Limits(max_names_chars=10**9, max_names_ms=10**7)
Span = tuple[int, int]


@dataclass(slots=True)
class Score:
    """Counts of one sort."""

    wanted: int = 0
    got: int = 0
    hits: int = 0
    right: int = 0

    def line(self, name: str) -> str:
        recall, precision = self.got / max(self.wanted, 1), self.right / max(self.hits, 1)
        return f"| {name} | {self.wanted} | {recall:.2f} | {precision:.2f} |"


def labelled(sample: dict[str, Any]) -> tuple[list[Span], list[Span]]:
    """Names and addresses of a text; the parts of an address that stand in a row are one."""
    text = sample["full_text"]
    spans = sorted((one["start_position"], one["end_position"], one["entity_type"]) for one in sample["spans"])
    names = [(start, end) for start, end, label in spans if label == "PERSON"]
    rows: list[list[tuple[int, int, str]]] = []
    for span in spans:
        if span[2] not in ADDRESS_LABELS:
            continue
        if rows and re.fullmatch(r"[\s,.-]{0,8}", text[rows[-1][-1][1] : span[0]]):
            rows[-1].append(span)
        else:
            rows.append([span])
    addresses = [(row[0][0], row[-1][1]) for row in rows if any(label == "STREET_ADDRESS" for *_, label in row)]
    return names, addresses


def covered(place: Span, by: Sequence[Span]) -> bool:
    """Whether half of a place or more is covered."""
    start, end = place
    return 2 * sum(max(min(end, last) - max(start, first), 0) for first, last in by) >= end - start


def score(detector: NameDetector, samples: Sequence[dict[str, Any]]) -> None:
    """Prints recall and precision at two confidences, and the time."""
    scores: dict[tuple[str, float], Score] = {}
    chars, started = 0, time.process_time()
    for sample in samples:
        text = sample["full_text"]
        chars += len(text)
        hits = list(detector.detect(View(text), Block(text, "user"), {}))
        names, addresses = labelled(sample)
        titles = [(one["start_position"], one["end_position"]) for one in sample["spans"] if one["entity_type"] in NAME_LABELS]  # fmt: skip
        parts = [(one["start_position"], one["end_position"]) for one in sample["spans"] if one["entity_type"] in ADDRESS_LABELS]  # fmt: skip
        full = [(start, end) for start, end in names if " " in text[start:end]]
        rows = (
            ("name", names, titles),
            ("name of two words", full, titles),
            ("address", addresses, [*parts, *addresses]),
        )
        for sort, wanted, right in rows:
            for least in (0.0, MASKING):
                rule = f"name.{sort.partition(' ')[0]}"
                ours = [(hit.start, hit.end) for hit in hits if hit.rule == rule and hit.confidence >= least]
                if wanted is full:
                    ours = [(start, end) for start, end in ours if " " in text[start:end]]
                one = scores.setdefault((sort, least), Score())
                one.wanted += len(wanted)
                one.got += sum(covered(place, ours) for place in wanted)
                one.hits += len(ours)
                one.right += sum(covered(place, right) for place in ours)
    taken_s = time.process_time() - started
    print(f"{len(samples)} labelled texts, {chars} characters: {taken_s * 1e7 / chars:.0f} ms for 10 kB\n")
    print("| sort | labelled | recall | precision |\n|---|---:|---:|---:|")
    for (sort, least), one in scores.items():
        print(one.line(f"{sort}, {'all' if not least else f'from {least} on'}"))


def survey(detector: NameDetector, folder: Path, *, each: bool) -> None:
    """Prints what is found in sources, and what that costs."""
    found: Counter[tuple[str, float]] = Counter()
    size = shown = 0
    gate_s = model_s = 0.0
    for path, text in texts(folder, SUFFIXES):
        size += len(text)
        started = time.process_time()
        shown += sum(len(passage.text) for passage in prose(text))
        gate_s += time.process_time() - started
        started = time.process_time()
        hits = list(detector.detect(View(text), Block(text, "file", str(path)), {}))
        model_s += time.process_time() - started
        found.update((hit.rule, hit.confidence) for hit in hits)
        if each:
            for hit in hits:
                print(listed(path.relative_to(folder), text, hit))
    mb = max(size / 1e6, 1e-9)
    print(
        f"\n{mb:.1f} MB of sources, {shown / max(size, 1):.1%} of them prose; telling which: {mb / max(gate_s, 1e-9):.0f} MB/s"
    )
    print(
        f"asking the model: {model_s:.0f} s, {model_s * 1e7 / max(shown, 1):.0f} ms for 10 kB of prose, {model_s / mb:.2f} s a MB of sources\n"
    )
    print("| found | sure | number | a MB |\n|---|---:|---:|---:|")
    for (rule, confidence), count in sorted(found.items()):
        print(f"| {rule} | {confidence} | {count} | {count / mb:.1f} |")


def listed(path: Path, text: str, hit: Hit) -> str:
    """A hit in its line."""
    start = text.rfind("\n", 0, hit.start) + 1
    end = text.find("\n", hit.end)
    line = text[max(start, hit.start - 60) : min(end if end >= 0 else len(text), hit.end + 60)]
    return "\t".join((f"{hit.confidence:.1f}", hit.rule, str(path), repr(text[hit.start : hit.end]), repr(line)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--labelled", type=Path, metavar="FILE")
    parser.add_argument("--sources", type=Path, metavar="FOLDER")
    parser.add_argument("--list", action="store_true", help="each hit in the sources")
    arguments = parser.parse_args()
    pipeline = load_pipeline(arguments.model)
    detector = NameDetector(pipeline, NEVER)
    print(f"{pipeline.version}\n")
    if arguments.labelled is not None:
        score(detector, json.loads(arguments.labelled.read_text(encoding="utf-8")))
    if arguments.sources is not None:
        survey(detector, arguments.sources, each=arguments.list)
    return 0


if __name__ == "__main__":
    sys.exit(main())
