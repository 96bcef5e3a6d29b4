"""The project that a subject is run in: a small git repository, the same to the bit in every run; made without running git."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path

FILES: Mapping[str, str] = {
    "README.md": "# Shop\n\nA small shop: a price list and a basket.\n",
    "shop.py": 'PRICES = {"tea": 3, "cup": 5}\n\n\ndef total(basket: list[str]) -> int:\n    return sum(PRICES[name] for name in basket)\n',
    "greeting.txt": "hello\n",
}
_WHEN = "Ann <ann@example.com> 1767225600 +0000"
_CONFIG = (
    "[core]\n\trepositoryformatversion = 0\n\tfilemode = false\n\tbare = false\n"
    '[user]\n\tname = Ann\n\temail = ann@example.com\n[remote "origin"]\n\turl = {remote}\n'
    "\tfetch = +refs/heads/*:refs/remotes/origin/*\n{more}"
)


def make_project(folder: Path, remote: str, files: Mapping[str, str] = FILES, config: str = "") -> None:
    """Writes a repository with one commit of `files` on `main`.

    Args:
        folder: exists and is empty.
        remote: URL of `origin`.
        files: path -> text.
        config: more lines of .git/config.
    """
    git = folder / ".git"
    for name in ("objects", "refs/heads", "refs/tags", "info"):
        (git / name).mkdir(parents=True)
    entries: list[tuple[str, bytes]] = []
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        entries.append((name, _object(git, "blob", text.encode("utf-8"))))
    tree = _tree(git, entries)
    words = f"tree {tree.hex()}\nauthor {_WHEN}\ncommitter {_WHEN}\n\nStart the shop\n"
    commit = _object(git, "commit", words.encode("utf-8"))
    (git / "refs/heads/main").write_text(commit.hex() + "\n", encoding="ascii")
    (git / "HEAD").write_text("ref: refs/heads/main\n", encoding="ascii")
    (git / "config").write_text(_CONFIG.format(remote=remote, more=config), encoding="utf-8")
    (git / "index").write_bytes(_index(sorted(entries), files))


def _object(git: Path, kind: str, data: bytes) -> bytes:
    whole = f"{kind} {len(data)}\0".encode("ascii") + data
    name = hashlib.sha1(whole, usedforsecurity=False)
    path = git / "objects" / name.hexdigest()[:2] / name.hexdigest()[2:]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(zlib.compress(whole))
    return name.digest()


def _tree(git: Path, entries: list[tuple[str, bytes]]) -> bytes:
    """Folders are trees of their own; names sort as if a folder ended with a slash."""
    here: dict[str, bytes] = {}
    below: dict[str, list[tuple[str, bytes]]] = {}
    for name, blob in entries:
        first, slash, rest = name.partition("/")
        if slash:
            below.setdefault(first, []).append((rest, blob))
        else:
            here[first] = blob
    rows = [(name, b"100644 " + name.encode() + b"\0" + blob) for name, blob in here.items()]
    rows += [(f"{name}/", b"40000 " + name.encode() + b"\0" + _tree(git, rest)) for name, rest in below.items()]
    return _object(git, "tree", b"".join(row for _, row in sorted(rows)))


def _index(entries: list[tuple[str, bytes]], files: Mapping[str, str]) -> bytes:
    """Version 2 (git's gitformat-index); times are 0, so git compares contents."""
    made = b"DIRC" + (2).to_bytes(4, "big") + len(entries).to_bytes(4, "big")
    for name, blob in entries:
        path = name.encode("utf-8")
        size = len(files[name].encode("utf-8"))
        row = bytes(24) + (0o100644).to_bytes(4, "big") + bytes(8) + size.to_bytes(4, "big") + blob
        row += min(len(path), 0xFFF).to_bytes(2, "big") + path
        made += row + bytes(8 - len(row) % 8)
    return made + hashlib.sha1(made, usedforsecurity=False).digest()
