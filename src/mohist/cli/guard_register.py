"""`mohist guard register`: repositories whose code is recognised wherever it turns up."""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mohist.base import ExitCode, MohistError, StatePaths

if TYPE_CHECKING:
    from mohist.guard.fingerprint import Index, Source

EPILOG = """\
Reads the files that git tracks at PATH, as they stand in the work tree, and keeps hashes of stretches of their code, never the
code. What Python's own library has, too, is left out. Parts of ten lines are recognised afterwards, also re-indented and with
names changed. Register again after larger changes: a name that is known is replaced. A server that runs takes a change up when
it is started again.

examples:
  mohist guard register ~/src/pricing --name pricing
  mohist guard register ~/src/engine --name engine --class source.export-controlled
  mohist guard register ~/src/open-fork --public            code that anybody may know: what others share with it doesn't count
  mohist guard register --list
  mohist guard register --remove pricing"""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_CLASS = re.compile(r"[a-z][a-z0-9-]*(?:\.[a-z0-9-]+)*")
_SHOWN = 5


class RegisterError(MohistError):
    """What was asked does not go together."""

    exit_code = ExitCode.USAGE


def declare(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("path", nargs="?", type=Path, metavar="PATH", help="a git repository, or a folder in one")
    parser.add_argument("--name", metavar="NAME", help="what findings call it")
    parser.add_argument(
        "--class", dest="data_class", default="source.restricted", metavar="CLASS", help="its data class (default: source.restricted)"
    )  # fmt: skip
    act = parser.add_mutually_exclusive_group()
    act.add_argument("--public", action="store_true", help="learn PATH as public code")
    act.add_argument("--list", action="store_true", dest="listing", help="what is registered")
    act.add_argument("--remove", metavar="NAME", help="forget one")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def main(args: argparse.Namespace) -> int:
    from mohist.guard.fingerprint import fingerprint_path, learn, library, public, read_index, write_index

    _check(args)
    where = fingerprint_path(StatePaths.from_env(os.environ).home)
    index = read_index(where)
    if args.listing:
        return _list(index, as_json=args.json)
    if args.remove:
        write_index(where, index.without(args.remove))
        return _say(args, {"removed": args.remove}, f"{args.remove} is no longer registered")
    sources = tracked(args.path)
    if args.public:
        index = index.with_public(*public(sources))
        write_index(where, index)
        return _say(
            args, {"public_hashes": index.public_hashes}, f"{index.public_hashes} stretches of public code are known"
        )
    learnt = learn(args.name, args.data_class, sources, but=library())
    write_index(where, index.with_repository(learnt.repository))
    known = learnt.repository
    row = {
        "name": known.name,
        "class": known.data_class,
        "files": known.files,
        "hashes": len(known.exact) + len(known.shape),
        "skipped": list(learnt.skipped),
    }
    left = ", ".join(learnt.skipped[:_SHOWN]) + (", …" if len(learnt.skipped) > _SHOWN else "")
    skipped = f"; left out {len(learnt.skipped)} ({left})" if learnt.skipped else ""
    return _say(args, row, f"registered {known.name} as {known.data_class}: {known.files} files{skipped}")


def _check(args: argparse.Namespace) -> None:
    """Raises RegisterError: too little or too much was named."""
    if args.listing or args.remove:
        if args.path or args.name:
            raise RegisterError("--list and --remove take no PATH and no --name.")
        return
    if args.path is None:
        raise RegisterError("There is nothing to register.", "Name a repository, or ask for --list.")
    if not args.public and (not args.name or not _NAME.fullmatch(args.name)):
        raise RegisterError("A repository is registered under a --name of letters, digits, '.', '_' and '-'.")
    if not _CLASS.fullmatch(args.data_class):
        raise RegisterError(f"{args.data_class!r} is no data class.", 'One is like "source.restricted".')


def tracked(path: Path) -> Iterator[Source]:
    """The files that git tracks below a folder; links and what is not there any more are left out.

    Raises:
        MohistError: it is no repository.
    """
    import anyio

    from mohist.guard.fingerprint import Source
    from mohist.guard.fingerprint.lesson import FILE_MAX_BYTES

    root, names = anyio.run(_names, path)
    below = path.resolve().relative_to(root).as_posix()
    prefix = "" if below == "." else f"{below}/"
    for name in names:
        full = root / name
        if not name.startswith(prefix) or full.is_symlink() or not full.is_file():
            continue
        with full.open("rb") as file:
            yield Source(name.removeprefix(prefix), file.read(FILE_MAX_BYTES + 1))


async def _names(path: Path) -> tuple[Path, list[str]]:
    from mohist.sandbox.git import Git

    with tempfile.TemporaryDirectory(prefix="mohist-guard-") as private:
        git = await Git.capture(path, Path(private) / "git")
        listed = await git.read("ls-files", "-z", "--cached", "--deduplicate")
        return git.root, sorted(name for name in listed.split("\0") if name)


def _list(index: Index, *, as_json: bool) -> int:
    rows = [
        {"name": one.name, "class": one.data_class, "files": one.files, "hashes": len(one.exact) + len(one.shape)}
        for one in index.repositories
    ]
    if as_json:
        print(json.dumps({"repositories": rows, "public_hashes": index.public_hashes}))
        return ExitCode.DONE
    for row in rows:
        print(f"{row['name']}  {row['class']}  {row['files']} files")
    print(f"{len(rows)} registered")
    return ExitCode.DONE


def _say(args: argparse.Namespace, row: dict[str, object], line: str) -> int:
    print(json.dumps(row) if args.json else line)
    return ExitCode.DONE
