#!/usr/bin/env python3
"""Write src/mohist/guard/data/commonplace.bin anew: stretches of code that several public projects have.

    python scripts/update_commonplace.py FOLDER [--projects-min 2] [--without NAME ...] [--out FILE]

FOLDER holds source archives (.tar.gz) from PyPI, as `pip download --no-binary :all: --no-deps` fetches them. Those whose licence, as
they say it themselves, is not a permissive one are left out, and so are those that begin with a NAME, such as what is measured on.
Projects that share more than a tenth of the smaller one's code are one project: a fork, or one author's clients. Prints what was read;
the list of it, with licences, belongs into src/mohist/guard/data/NOTICE.
"""

from __future__ import annotations

import argparse
import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from mohist.guard.fingerprint.commonplace import Commonplace  # noqa: E402
from mohist.guard.fingerprint.lesson import Source, its_own, public  # noqa: E402

Keys = NDArray[np.uint64]
OUT = ROOT / "src/mohist/guard/data/commonplace.bin"
PERMISSIVE = re.compile(r"\b(?:MIT(?:-0|-CMU)?|BSD|Apache|ISC|ISCL|PSF|PSF-2\.0|Python Software Foundation|Unlicense|0BSD|CC0)\b", re.IGNORECASE)  # fmt: skip
COPYLEFT = re.compile(r"GPL|General Public|MPL|Mozilla|EPL|EUPL|CDDL|SSPL|BUSL|Proprietary|Commercial", re.IGNORECASE)
_STATED = re.compile(r"^(?:License-Expression:|License:|Classifier: License ::)\s*([^\n]+)", re.MULTILINE)
FAMILY_SHARE = 0.1


class Project(NamedTuple):
    """What was read of one archive."""

    name: str
    licence: str
    exact: Keys
    shape: Keys


def licence(archive: Path) -> str:
    """What an archive's own metadata says; "" where it says nothing."""
    with tarfile.open(archive) as packed:
        for member in packed:
            if re.fullmatch(r"[^/]+/PKG-INFO", member.name) and (stream := packed.extractfile(member)):
                head = stream.read().decode("utf-8", "replace").partition("\n\n")[0]
                return "; ".join(dict.fromkeys(text.strip()[:80] for text in _STATED.findall(head)))
    return ""


def sources(archive: Path) -> Iterator[Source]:
    """The Python files of an archive that are its own."""
    with tarfile.open(archive) as packed:
        for member in packed:
            if member.isfile() and member.name.endswith(".py") and (stream := packed.extractfile(member)):
                data = stream.read()
                if its_own(member.name, data):
                    yield Source(member.name, data)


def projects(folder: Path, without: tuple[str, ...]) -> Iterator[Project]:
    """What may be learnt from; says what is left out."""
    for archive in sorted(folder.glob("*.tar.gz")):
        stated = licence(archive)
        if without and archive.name.lower().startswith(without):
            print(f"left out, as asked: {archive.name}")
        elif not PERMISSIVE.search(stated) or COPYLEFT.search(stated):
            print(f"left out, licence {stated!r}: {archive.name}")
        else:
            yield Project(archive.name.removesuffix(".tar.gz"), stated, *public(sources(archive)))


def families(read: list[Project]) -> list[list[Project]]:
    """Projects that share much are together."""
    found: list[list[Project]] = []
    for project in read:
        near = [family for family in found if any(_shared(project, other) > FAMILY_SHARE for other in family)]
        found = [family for family in found if not any(family is one for one in near)]
        found.append([project, *(member for family in near for member in family)])
    return found


def _shared(one: Project, other: Project) -> float:
    smaller = min(len(one.exact), len(other.exact))
    return len(np.intersect1d(one.exact, other.exact, assume_unique=True)) / max(smaller, 1)


def common(rows: list[list[Keys]], projects_min: int) -> Keys:
    """Keys that so many families have."""
    each = [np.unique(np.concatenate(family)) for family in rows]
    keys, counts = np.unique(np.concatenate(each), return_counts=True)
    found: Keys = keys[counts >= projects_min]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--projects-min", type=int, default=2)
    parser.add_argument("--without", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    read = list(projects(args.folder, tuple(name.lower() for name in args.without)))
    for project in read:
        print(f"{project.name}: {project.licence}: {len(project.exact)} and {len(project.shape)} stretches")
    together = families(read)
    for family in together:
        if len(family) > 1:
            print("one project:", ", ".join(project.name for project in family))
    exact = common([[project.exact for project in family] for family in together], args.projects_min)
    shape = common([[project.shape for project in family] for family in together], args.projects_min)
    content = Commonplace.of(exact, shape).to_bytes()
    args.out.write_bytes(content)
    print(
        f"{len(read)} archives, {len(together)} projects: {len(exact)} and {len(shape)} commonplaces, {len(content)} bytes"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
