#!/usr/bin/env python3
"""What the guard finds of the texts that other secret scanners are tested with.

    python benchmarks/guard/vectors.py FOLDER [--half dev|held|all] [--made] [--missed] [--scanners NAME,…]

FOLDER holds checked-out repositories: betterleaks, gitleaks, noseyparker, kingfisher (with the rules of June 2025),
detect-secrets, secretlint, trufflehog; what isn't there is left out. Texts are only read, and no value is ever tried.

Each text is looked at as a model call would bring it: alone, and in a message. "Fixed" are the rules for formats by themselves,
"all" those and the keyword filter; masking and blocking are the guard's two borders, "any" is any confidence. The halves are told by a
hash of the provider's name, the same for all scanners, so that what one tests in one half no other tests in the other.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from vectorset import SCANNERS, Vector, vectors

from mohist.guard import Block, Detector, Finding, Scanner, keyed
from mohist.guard.keyword import BLOCKING, MASKING, keyword_detector
from mohist.guard.matcher import build_matcher
from mohist.guard.secret import secret_detector

BORDERS = {"any": 0.0, "masking": MASKING, "blocking": BLOCKING}
ROUND = 500
"""Texts looked at together."""


def in_message(text: str) -> str:
    """A text where a person or a tool would write it; nothing there hints at a secret."""
    if len(text.split()) == 1 and not set(text) & set("\"'`"):
        return f'The second record has {{"position": 4, "value": "{text}"}}, the others have none.'
    return f"This stands in the file, from line 12 on:\n\n{text}\n\nPlease explain what it does."


class Guard:
    """Detectors of secrets, as the gateway runs them."""

    def __init__(self, *detectors: Detector) -> None:
        self._scanner = Scanner(detectors, build_matcher(detectors), keyed(b"vectors"))

    def findings(self, texts: Iterable[str]) -> Iterator[list[Finding]]:
        """Those of each text."""
        blocks = [Block(text, source="user") for text in texts]
        for start in range(0, len(blocks), ROUND):
            for found in self._scanner.scan(blocks[start : start + ROUND]):
                yield [one for one in found.findings if one.data_class.startswith("secret")]


def surest(findings: Iterable[Finding]) -> float:
    """The highest confidence; -1: there is none."""
    return max((one.confidence for one in findings), default=-1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half", choices=("dev", "held", "all"), default="dev")
    parser.add_argument("--made", action="store_true", help="also the texts that tests make at run time")
    parser.add_argument("--missed", action="store_true", help="print what is not masked, and what is wrongly; dev half")
    parser.add_argument("--scanners", default=",".join(SCANNERS))
    options = parser.parse_args()
    if options.missed and options.half != "dev":
        parser.error("--missed is for the dev half: who reads the other can't be judged by it any more")
    chosen = [
        vector
        for vector in vectors(options.folder)
        if vector.scanner.partition(",")[0] in options.scanners.split(",")
        and (options.made or "," not in vector.scanner)
        and (options.half == "all" or vector.held is (options.half == "held"))
    ]
    fixed, guard = Guard(secret_detector()), Guard(secret_detector(), keyword_detector())
    found = {
        "fixed": list(fixed.findings(vector.text for vector in chosen)),
        "all": list(guard.findings(vector.text for vector in chosen)),
        "inside": list(guard.findings(in_message(vector.text) for vector in chosen)),
    }
    table(chosen, found)
    if options.missed:
        missed(chosen, found["all"], found["inside"])


def table(chosen: list[Vector], found: Mapping[str, list[list[Finding]]]) -> None:
    """Prints shares of the texts, a row for each scanner."""
    counts: Counter[tuple[str, bool, str, str]] = Counter()
    totals = Counter((vector.scanner, vector.positive) for vector in chosen)
    for how, each in found.items():
        for vector, findings in zip(chosen, each, strict=True):
            for border, least in BORDERS.items():
                counts[vector.scanner, vector.positive, how, border] += surest(findings) >= least

    def shares(scanner: str, positive: bool, how: str, *borders: str) -> str:
        total = totals[scanner, positive]
        return " / ".join(f"{counts[scanner, positive, how, one] / total:.3f}" if total else "–" for one in borders)

    print(
        "| scanner | to find | fixed: any / masking / blocking | all: any / masking / blocking | all, in a message |"
        " not to find | fixed: masking / blocking | all: masking / blocking |\n|---|---:|---|---|---|---:|---|---|"
    )
    for scanner in dict.fromkeys(vector.scanner for vector in chosen):
        right = [shares(scanner, True, how, *BORDERS) for how in found]
        wrong = [shares(scanner, False, how, "masking", "blocking") for how in ("fixed", "all")]
        print("|", " | ".join([scanner, str(totals[scanner, True]), *right, str(totals[scanner, False]), *wrong]), "|")


def missed(chosen: list[Vector], alone: list[list[Finding]], inside: list[list[Finding]]) -> None:
    """Prints what is not as it should be at the masking border, and by which rules."""
    for vector, first, second in zip(chosen, alone, inside, strict=True):
        low = min(surest(first), surest(second))
        if vector.positive and low < MASKING:
            said = f"MISSED {low:.2f}"
        elif not vector.positive and surest(first) >= MASKING:
            said = f"WRONG {surest(first):.2f}"
        else:
            continue
        rules = ", ".join(sorted({f"{one.rule} {one.confidence:.2f}" for one in first}))
        print(f"\n{said} {vector.scanner} {vector.provider} {vector.rule} [{rules}]\n{vector.text[:600]}")


if __name__ == "__main__":
    main()
