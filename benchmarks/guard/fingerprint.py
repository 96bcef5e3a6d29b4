"""How surely registered code is recognised, and how often other code is taken for it.

    python -m benchmarks.guard.fingerprint FOLDER --classified NAME [NAME ...]

FOLDER holds source archives or wheels (.tar.gz, .whl) of Python projects, or archives of npm (.tgz; JavaScript outside dist/). Those whose name begins with one of the NAMEs are
registered; the files of the others must not be hit. With --teach, half of the latter, by a hash of their path, are taught as public
code, and the other half is tried. All excerpts count, also those that could be anybody's: imports, tables. Prints one table; excerpts
and renamings are drawn with a fixed seed. Projects that scripts/update_commonplace.py learnt from say nothing here about false hits.
"""

from __future__ import annotations

import argparse
import keyword
import random
import re
import statistics
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Container, Iterator
from pathlib import Path

from mohist.guard import View
from mohist.guard.fingerprint import (
    FingerprintDetector,
    Index,
    Source,
    fingerprint_detector,
    its_own,
    learn,
    library,
    public,
)
from mohist.guard.fingerprint.detector import HITS_MIN
from mohist.guard.fingerprint.token import KEYWORDS

SEED = 20261123
WORD = re.compile(r"[A-Za-z_]\w*")
PYTHON, SCRIPT = re.compile(r".+\.py"), re.compile(r"(?!.*(?:/dist/|\.min\.)).+\.[cm]?js")


def sources(archive: Path) -> Iterator[Source]:
    """The Python files of an archive, or its JavaScript."""
    wanted = SCRIPT if archive.suffix == ".tgz" else PYTHON
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as opened:
            for name in opened.namelist():
                if wanted.fullmatch(name):
                    yield Source(name, opened.read(name))
    else:
        with tarfile.open(archive) as packed:
            for member in packed:
                if member.isfile() and wanted.fullmatch(member.name) and (stream := packed.extractfile(member)):
                    yield Source(member.name, stream.read())


def renamed(text: str, share: float, draw: random.Random, fixed: Container[str]) -> str:
    """The text with a share of its names changed, each everywhere to the same other; `fixed` are no names."""
    names = sorted({word for word in WORD.findall(text) if word not in fixed})
    new = {
        name: f"{draw.choice('abcdefgh')}{name[::-1]}_{draw.randrange(99)}" for name in names if draw.random() < share
    }
    return WORD.sub(lambda match: new.get(match[0], match[0]), text)


def excerpt(source: Source, lines: int, draw: random.Random) -> str | None:
    """That many lines with code in a row, from a random place; None where a file has too few."""
    rows = [row for row in source.data.decode("utf-8", "replace").splitlines() if row.strip()]
    if len(rows) < lines + 20:
        return None
    at = draw.randrange(15, len(rows) - lines)
    return "\n".join(rows[at : at + lines]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--classified", nargs="+", required=True)
    parser.add_argument("--teach", action="store_true")
    parser.add_argument("--hits-min", type=int, default=HITS_MIN)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    archives = sorted(path for pattern in ("*.tar.gz", "*.whl", "*.tgz") for path in args.folder.glob(pattern))
    fixed = KEYWORDS if any(path.suffix == ".tgz" for path in archives) else keyword.kwlist
    index, ours = Index(), list[Source]()
    taught, clean = list[Source](), list[Source]()
    everybodys = library()
    for archive in archives:
        files = [source for source in sources(archive) if its_own(source.path, source.data)]
        if archive.name.lower().startswith(tuple(args.classified)):
            index = index.with_repository(learn(archive.name, "source.restricted", files, but=everybodys).repository)
            ours += files
        else:
            for source in files:
                (taught if args.teach and zlib.crc32(source.path.encode()) % 2 else clean).append(source)
    if args.teach:
        index = index.with_public(*public(taught))
    detector = fingerprint_detector(index, hits_min=args.hits_min)
    print(
        f"registered {len(ours)} files, public {len(taught)}, clean {len(clean)}; index {len(index.to_bytes()) / 1e6:.1f} MB"
    )
    draw = random.Random(SEED)
    for lines in (3, 5, 10, 20):
        for share in (0.0, 0.2, 1.0):
            found = tried = 0
            while tried < 500:
                text = excerpt(draw.choice(ours), lines, draw)
                if text is None:
                    continue
                tried += 1
                indented = "".join(f"        {row.lstrip()}\n" for row in text.splitlines()) if tried % 2 else text
                around = draw.choice(clean).data.decode("utf-8", "replace")[:3000]
                data = f"{around}\n\n{renamed(indented, share, draw, fixed)}\n\nthanks\n".encode()
                found += any(run.end > len(around.encode()) for run in detector.runs(data))
            print(f"{lines:3d} lines, {share:.0%} of the names changed: {found / tried:.3f}")
    hit = [source.path for source in clean if detector.runs(source.data)]
    print(f"clean files hit: {len(hit)}/{len(clean)} = {len(hit) / max(len(clean), 1):.4f}")
    for path in hit[:20]:
        print(f"    {path}")
    texts = [View(source.data.decode("utf-8", "replace")) for source in clean]
    rows = {"a text of 200 kB": _of_size(texts, 200_000, 200_000), "40 texts of 5 kB": _of_size(texts, 200_000, 5_000)}
    rows["480 texts of 400 bytes"] = _of_size(texts, 200_000, 417)
    rows["2 MB"] = _of_size(texts, 2_000_000, 2_000_000)
    times: dict[str, list[float]] = {}
    for _ in range(args.rounds):
        for name, views in rows.items():
            alone = [[view] for view in views]
            times.setdefault(f"{name}, together", []).append(_timed(detector, [views]))
            times.setdefault(f"{name}, one by one", []).append(_timed(detector, alone))
    for name, taken in times.items():
        print(f"{name}: {statistics.median(taken) * 1000:.2f} ms (least {min(taken) * 1000:.2f})")
    return 0


def _of_size(texts: list[View], total: int, each: int) -> list[View]:
    """So much of the texts, cut into views."""
    whole = "\n".join(view.text for view in texts)[:total]
    views = [View(whole[at : at + each]) for at in range(0, len(whole), each)]
    for view in views:
        view.data  # noqa: B018  the matcher asks for it before
    return views


def _timed(detector: FingerprintDetector, calls: list[list[View]]) -> float:
    begun = time.process_time()
    for views in calls:
        detector.detect_all(views)
    return time.process_time() - begun


if __name__ == "__main__":
    sys.exit(main())
