"""Write `src/mohist/guard/personal/word.txt` anew: words of programs and their documents, which are no names there.

    python scripts/update_words.py FOLDER

FOLDER holds unpacked packages, one a folder; a word counts that at least four of them use three times in lower case. Given names
and the most frequent surnames are left out, by the lists of the US census of 1990 that the package `names` has (`pip install
names`); words that only by chance are on those lists stay. Nothing of Mohist needs that package at run time.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "src" / "mohist" / "guard" / "personal" / "word.txt"
SUFFIXES = frozenset({".py", ".md", ".rst", ".txt"})
FILE_MAX_BYTES = 1_000_000
MIN_PACKAGES = 4
MIN_USES = 3
SURNAMES = 1000
WORD = re.compile(r"(?<![A-Za-z])[a-z]{3,}(?![A-Za-z])")
BY_CHANCE = frozenset({"alpha", "carry", "delta", "del", "dot", "echo", "else", "len", "long", "mac", "major", "man", "manual", "many", "meta", "min", "miss", "numbers", "page", "ping", "see", "sha", "soon", "star", "branch", "case", "fields", "head", "holder", "key", "marks", "weeks"})  # fmt: skip
DATES = frozenset({"mon", "tue", "wed", "thu", "fri", "sat", "sun", "feb", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "january", "february", "july", "september", "october", "november", "december"})  # fmt: skip
HEAD = "# Words of programs and their documents, in lower case; written by scripts/update_words.py from packages of PyPI.\n"


def names() -> Iterator[str]:
    """Given names, and frequent surnames, in lower case."""
    package = find_spec("names")
    assert package is not None
    assert package.origin is not None
    for file, most in (("dist.female.first", 10**6), ("dist.male.first", 10**6), ("dist.all.last", SURNAMES)):
        for line in Path(package.origin).with_name(file).read_text(encoding="ascii").splitlines()[:most]:
            yield line.split()[0].lower()


def used(package: Path) -> Counter[str]:
    """How often a package uses each word."""
    words: Counter[str] = Counter()
    for path in sorted(package.rglob("*")):
        if path.suffix in SUFFIXES and path.is_file() and path.stat().st_size < FILE_MAX_BYTES:
            words.update(WORD.findall(path.read_text(encoding="utf-8", errors="replace")))
    return words


def main() -> int:
    packages: Counter[str] = Counter()
    for package in sorted(Path(sys.argv[1]).iterdir()):
        if package.is_dir():
            packages.update(word for word, count in used(package).items() if count >= MIN_USES)
    left_out = frozenset(names()) - BY_CHANCE
    used_widely = {word for word, count in packages.items() if count >= MIN_PACKAGES}
    words = sorted((used_widely - left_out) | DATES)
    TARGET.write_text(HEAD + "".join(f"{word}\n" for word in words), encoding="utf-8")
    print(f"{len(words)} words in {TARGET.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
