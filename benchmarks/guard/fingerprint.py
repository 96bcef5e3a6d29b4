"""How surely registered code is recognised, and how often other code is taken for it.

    python -m benchmarks.guard.fingerprint FOLDER --classified NAME [NAME ...]

FOLDER holds source archives or wheels (.tar.gz, .whl) of Python projects. Those whose name begins with one of the NAMEs are
registered; half of the other files, by a hash of their path, are taught as public code with --teach, and the other half must not be hit.
Prints one table; excerpts and renamings are drawn with a fixed seed.
"""

from __future__ import annotations

import argparse
import keyword
import random
import re
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from mohist.guard.fingerprint import Index, Source, fingerprint_detector, its_own, learn, library, public
from mohist.guard.fingerprint.detector import HITS_MIN

SEED = 20261123
WORD = re.compile(r"[A-Za-z_]\w*")


def sources(archive: Path) -> Iterator[Source]:
    """The Python files of an archive."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as opened:
            for name in opened.namelist():
                if name.endswith(".py"):
                    yield Source(name, opened.read(name))
    else:
        with tarfile.open(archive) as packed:
            for member in packed:
                if member.isfile() and member.name.endswith(".py") and (stream := packed.extractfile(member)):
                    yield Source(member.name, stream.read())


def renamed(text: str, share: float, draw: random.Random) -> str:
    """The text with a share of its names changed, each everywhere to the same other."""
    names = sorted({word for word in WORD.findall(text) if not keyword.iskeyword(word)})
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
    args = parser.parse_args()
    archives = sorted([*args.folder.glob("*.tar.gz"), *args.folder.glob("*.whl")])
    index, ours, taught, clean = Index(), [], [], []
    everybodys = library()
    for archive in archives:
        files = [source for source in sources(archive) if its_own(source.path, source.data)]
        if archive.name.lower().startswith(tuple(args.classified)):
            index = index.with_repository(learn(archive.name, "source.restricted", files, but=everybodys).repository)
            ours += files
        else:
            for source in files:
                (taught if zlib.crc32(source.path.encode()) % 2 else clean).append(source)
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
                data = f"{around}\n\n{renamed(indented, share, draw)}\n\nthanks\n".encode()
                found += any(run.end > len(around.encode()) for run in detector.runs(data))
            print(f"{lines:3d} lines, {share:.0%} of the names changed: {found / tried:.3f}")
    hit = [source.path for source in clean if detector.runs(source.data)]
    print(f"clean files hit: {len(hit)}/{len(clean)} = {len(hit) / max(len(clean), 1):.4f}")
    for path in hit[:20]:
        print(f"    {path}")
    data = b"\n".join(source.data for source in clean[:200])[:200_000]
    best_s = min(_timed(lambda: detector.runs(data)) for _ in range(20))
    print(f"{best_s * 1000:.2f} ms for {len(data)} bytes")
    return 0


def _timed(act: object) -> float:
    begun = time.process_time()
    act()  # type: ignore[operator]
    return time.process_time() - begun


if __name__ == "__main__":
    sys.exit(main())
