"""Reads labelled secrets in the layout that Samsung's CredData writes (`data/` and `meta/`), and folders of clean sources."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

IDENTIFIERS = frozenset({"UUID", "Nonce", "Salt", "AWS S3 Bucket", "Firebase Domain"})
"""Categories that name something without opening it; a row that has no other is no credential."""
FIXED = frozenset({"PEM Private Key", "JWK", "JSON Web Token", "NKEY Seed", "AWS Client ID", "AWS Multi", "Google Multi", "URL Credentials", "Twilio Credentials", "MailGun API Key", "Tencent WeChat API App ID", "Salesforce Credentials", "Google API Key", "Slack Token", "Github Token", "Stripe Credentials", "Azure Access Token"})  # fmt: skip
"""Categories with a format of their own; the others are found by a word beside the value."""
FILE_MAX_BYTES = 4_000_000
TEXT_MAX_CHARS = 1_000_000
SOURCE = frozenset({".py", ".js", ".ts", ".go", ".rs", ".java", ".c", ".h", ".md", ".toml", ".yaml", ".yml", ".json", ".txt", ".sh", ".cfg"})  # fmt: skip
"""Suffixes of what stands in a source tree as text."""


@dataclass(frozen=True, slots=True)
class Label:
    """One labelled value; lines count from 1, columns from 0; a column of -1 is not known."""

    first_line: int
    last_line: int
    start: int
    end: int
    real: bool
    categories: frozenset[str]

    @property
    def credential(self) -> bool:
        """Whether it opens something."""
        return self.real and not self.categories <= IDENTIFIERS

    @property
    def kind(self) -> str:
        """ "fixed" for a format of its own, "keyword" for the others."""
        return "fixed" if self.categories & FIXED else "keyword"


@dataclass(slots=True)
class Source:
    """A file with its labels."""

    repository: str
    path: str
    text: str
    labels: list[Label] = field(default_factory=list)


def held_out(repository: str) -> bool:
    """Whether a repository is for scoring alone: one half of them, by a hash of the id that never changes."""
    return bool(sha256(repository.encode("ascii")).digest()[0] & 1)


def sources(folder: Path, *, held: bool | None = None) -> Iterator[Source]:
    """The labelled files of CredData's output folder, by repository.

    Args:
        folder: holds `data` and `meta`.
        held: True for the held-out half, False for the other, None for both.
    """
    for table in sorted((folder / "meta").glob("*.csv")):
        if held is not None and held_out(table.stem) != held:
            continue
        files: dict[str, list[Label]] = defaultdict(list)
        with table.open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                files[row["FilePath"]].append(
                    Label(
                        first_line=int(row["LineStart"]),
                        last_line=int(row["LineEnd"]),
                        start=int(row["ValueStart"] or -1),
                        end=int(row["ValueEnd"] or -1),
                        real=row["GroundTruth"] == "T",
                        categories=frozenset(row["Category"].split(":")),
                    )
                )
        for path, labels in sorted(files.items()):
            yield Source(table.stem, path, (folder / path).read_text(encoding="utf-8"), labels)


def clean(folder: Path) -> Iterator[Source]:
    """The UTF-8 texts under a folder of unpacked packages; the first level names the package."""
    for path in sorted(folder.glob("*/**/*")):
        if not path.is_file() or path.stat().st_size > FILE_MAX_BYTES:
            continue
        data = path.read_bytes()
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            relative = path.relative_to(folder)
            yield Source(relative.parts[0], relative.as_posix(), text)


def texts(folder: Path, suffixes: Collection[str] = SOURCE) -> Iterator[tuple[Path, str]]:
    """UTF-8 texts of a tree by suffix, in the order of their paths; empty and very long ones are left out."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in suffixes and path.is_file():
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            if 0 < len(text) <= TEXT_MAX_CHARS:
                yield path, text
