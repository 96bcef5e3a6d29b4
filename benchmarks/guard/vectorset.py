"""Reads the test texts of other makers' secret scanners out of their repositories: what each must find, and what it must not."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import golang
import yaml  # type: ignore[import-untyped]

_FIRST_WORD = re.compile(r"[a-z0-9]+")
_SIZED = re.compile(r"func (\w+)\([^)]*\) string \{\s*return (?:fmt\.Sprintf\()?`([^`]*)`")


@dataclass(frozen=True, slots=True)
class Vector:
    """One text of one scanner's tests."""

    scanner: str
    provider: str
    """First word of the name of the file that holds the rule; tells the halves apart, the same for all scanners."""
    rule: str
    text: str
    positive: bool

    @property
    def held(self) -> bool:
        """Whether it is for scoring alone."""
        return bool(sha256(self.provider.encode("ascii")).digest()[0] & 1)


def provider(name: str) -> str:
    """The first word of a file's name: "aws" of "aws_key_test.py"."""
    found = _FIRST_WORD.search(name.lower())
    return found[0] if found else "unknown"


def leaks(scanner: str, folder: Path) -> Iterator[Vector]:
    """Betterleaks and gitleaks, whose rules are Go functions; texts that they make at run time count as "…, made"."""
    generate = folder / "cmd/generate/config"
    helper = (generate / "utils/generate.go").read_text(encoding="utf-8")
    named = dict(golang.Reader().assignments(golang.tokens(helper)))
    samples: Mapping[str, str] = named["samples"]
    sized = {
        found[1]: found[2] for found in _SIZED.finditer((generate / "utils/patterns.go").read_text(encoding="utf-8"))
    }
    for path in sorted((generate / "rules").glob("*.go")):
        every = golang.tokens(path.read_text(encoding="utf-8"))
        constants = dict(golang.Reader(sized).assignments(every))
        for function in golang.functions(every):
            known: dict[bool, list[str]] = {True: [], False: []}
            plain, full = golang.Reader(), golang.Reader(sized, samples)
            full.names = {name: text for name, text in constants.items() if isinstance(text, str)}
            plain.names = dict(full.names)
            rule = next((text for name, text in golang.Reader().assignments(function, (":",)) if name == "RuleID"), "")
            literal = set(_texts(plain.assignments(function)))
            for name, value in full.assignments(function):
                texts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
                if name in ("tps", "fps"):
                    # `tps = append(tps, …)` gives the whole list again.
                    known[name == "tps"] += [text for text in texts if text not in known[name == "tps"]]
            for positive, texts in known.items():
                for text in texts:
                    kind = scanner if text in literal else f"{scanner}, made"
                    yield Vector(kind, provider(path.stem), str(rule or path.stem), text, positive)


def _texts(assignments: Iterator[tuple[str, Any]]) -> Iterator[str]:
    for _, value in assignments:
        if isinstance(value, dict):
            yield from value.values()
        elif isinstance(value, list):
            yield from (text for text in value if isinstance(text, str))
        elif isinstance(value, str):
            yield value


def rows(scanner: str, folder: Path) -> Iterator[Vector]:
    """Nosey Parker and Kingfisher, whose rules are YAML with examples."""
    for path in sorted(folder.rglob("*.y*ml")):
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
        for rule in (read or {}).get("rules", ()) if isinstance(read, dict) else ():
            for key, positive in (("examples", True), ("negative_examples", False)):
                for text in rule.get(key) or ():
                    yield Vector(scanner, provider(path.stem), str(rule["id"]), str(text), positive)


def plugins(scanner: str, folder: Path) -> Iterator[Vector]:
    """detect-secrets, whose tests are lists of texts with "should be found", or of texts that should."""
    for path in sorted((folder / "tests/plugins").glob("*_test.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "parametrize" and len(node.args) == 2:
                names, cases = node.args
                if not isinstance(names, ast.Constant) or not isinstance(cases, ast.List | ast.Tuple):
                    continue
                several = str(names.value).replace(" ", "").split(",")
                if several not in (["line"], ["payload"], ["line", "should_flag"], ["payload", "should_flag"]):
                    continue
                for case in cases.elts:
                    try:
                        value = ast.literal_eval(case)
                    except ValueError:
                        continue
                    text, positive = value if isinstance(value, tuple) else (value, True)
                    yield Vector(scanner, provider(path.stem), path.stem, str(text), bool(positive))


def snapshots(scanner: str, folder: Path) -> Iterator[Vector]:
    """secretlint, whose tests are folders: "ng.…" has findings, "ok.…" has none."""
    for path in sorted(folder.glob("packages/@secretlint/secretlint-rule-*/test/snapshots/*/input*")):
        package = path.parents[3].name.removeprefix("secretlint-rule-")
        kind = path.parent.name.partition(".")[0]
        told = path.parent / "output.json"
        if package.startswith(("internal", "example", "filter", "pattern", "preset", "no-")) or not told.exists():
            continue
        try:
            text = path.read_text(encoding="utf-8")
            messages = json.loads(told.read_text(encoding="utf-8"))["messages"]
        except UnicodeDecodeError:
            continue
        if (kind == "ng" and messages) or kind == "ok":
            yield Vector(scanner, provider(package), f"{package}/{path.parent.name}", text, kind == "ng")


def patterns(scanner: str, folder: Path) -> Iterator[Vector]:
    """TruffleHog, whose tests are Go tables of inputs with what is wanted of each (AGPL: for scoring alone)."""
    for path in sorted((folder / "pkg/detectors").rglob("*_test.go")):
        if path.name.endswith("_integration_test.go"):
            continue
        every = golang.tokens(path.read_text(encoding="utf-8"))
        reader = golang.Reader()
        for _ in reader.assignments(every):
            pass
        stem = path.relative_to(folder / "pkg/detectors").parts[0]
        text: Any = None
        for name, value in reader.assignments(every, (":",)):
            if name == "input":
                text = value
            elif name == "want" and isinstance(text, str) and (value is None or isinstance(value, list)):
                yield Vector(scanner, provider(stem), stem, text, bool(value))
                text = None


SCANNERS: Mapping[str, tuple[str, Callable[[str, Path], Iterator[Vector]]]] = {
    "betterleaks": ("betterleaks", leaks),
    "gitleaks": ("gitleaks", leaks),
    "noseyparker": ("noseyparker/crates/noseyparker/data/default/builtin/rules", rows),
    "kingfisher": ("kingfisher/data/rules", rows),
    "detect-secrets": ("detect-secrets", plugins),
    "secretlint": ("secretlint", snapshots),
    "trufflehog": ("trufflehog", patterns),
}
"""By scanner: where its rules or tests are under a folder of checked-out repositories, and what reads them."""


def vectors(folder: Path) -> Iterator[Vector]:
    """All texts of the scanners whose repositories are there, each once a scanner."""
    for scanner, (place, read) in SCANNERS.items():
        seen: set[tuple[str, str, bool]] = set()
        if (folder / place).is_dir():
            for vector in read(scanner, folder / place):
                key = vector.scanner, vector.text, vector.positive
                if key not in seen and vector.text.strip():
                    seen.add(key)
                    yield vector
