"""What is released: made once from a clean copy of the commit, the same for every environment."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

from anyio import to_thread

from mohist.delivery.book import Book
from mohist.delivery.environment import BuildSpec
from mohist.delivery.errors import TargetError
from mohist.delivery.port import Ground
from mohist.delivery.state import Delivery

_TAIL = 400


async def make_artefact(delivery: Delivery, commit: str, build: BuildSpec, book: Book, ground: Ground) -> Path:
    """The folder to release; built again only where it is not there any more.

    Raises:
        TargetError: the build failed, or left no artefact.
    """
    key = f"{delivery.delivery_id}/{delivery.attempt}/artefact/{commit}"
    known = await to_thread.run_sync(book.effect, key, "artefact")
    if known is not None and await to_thread.run_sync(Path(known["folder"]).is_dir):
        return Path(known["folder"])
    copy = await ground.copy(key, commit)
    if build.command:
        ran = await ground.run(copy, build.command, build.timeout_s, build.network)
        if ran.exit_code != 0:
            how = "took too long" if ran.timed_out else f"ended with {ran.exit_code}"
            raise TargetError(
                f"The build of the artefact {how}.", ran.output[-_TAIL:].decode("utf-8", "replace").strip()
            )
    folder = await to_thread.run_sync(_below, copy, build.artefact)
    told = {"folder": str(folder), "dir_hash": await to_thread.run_sync(dir_hash, folder), "build": build.command}
    await to_thread.run_sync(book.done, key, told)
    return folder


def dir_hash(folder: Path) -> str:
    """What in-toto calls `dirHash1`, hex: SHA-256 over the digests and names of all files (golang.org/x/mod/sumdb/dirhash, Hash1).

    A link counts as what it says, not as what it leads to.
    """
    rows = []
    for path in folder.rglob("*"):
        if path.is_symlink():
            data = os.fsencode(path.readlink())
        elif path.is_file():
            data = path.read_bytes()
        else:
            continue
        rows.append((path.relative_to(folder).as_posix(), sha256(data).hexdigest()))
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(rows))
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _below(copy: Path, name: str) -> Path:
    folder = (copy / name).resolve()
    if not folder.is_relative_to(copy.resolve()) or not folder.is_dir():
        raise TargetError(f"The build left no folder {name!r}.", "See `artefact` in [build].")
    return folder
