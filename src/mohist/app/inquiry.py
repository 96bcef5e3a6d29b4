"""Answers `mohist trace`: opens the ledger, brings the index up to date, asks git."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio

from mohist.app.ledger import LedgerHome
from mohist.ledger import ErasedError, LedgerError, decode
from mohist.ledger.errors import AbsentKeyError
from mohist.ledger.store import Store
from mohist.ledger.vault import Vault
from mohist.report import NoSuchLineError, Traced, Tracer, Write, Writings
from mohist.report.blame import origins, relative
from mohist.report.change import changes, commits_of
from mohist.report.map import Mapped
from mohist.report.repository import Asker
from mohist.report.share import Share
from mohist.sandbox import Git, GitError

_SUMMED = (".lock", ".min.js", ".svg", ".png", ".jpg", ".ico", ".pdf", ".woff2", ".zip", ".gz")
"""Not counted in a summary: written by programs, or no text."""
BLAMES_AT_ONCE = max(2, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Why:
    """What the ledger knows behind a write."""

    write: Write
    prompt: str
    """The words that it was asked by; "(erased)" where those are gone."""
    person: str
    """Who asked, by name where that is known, else the pseudonym."""
    requirement: str
    behind: tuple[dict[str, Any], ...]
    """Entries of its delivery that decided: reviews, approvals, merges, deploys."""
    people: Mapping[str, str]
    """Names by pseudonym, as far as they are known."""


class Inquiry:
    """Open for questions.

    Args:
        home: the ledger.
        git: the repository.
        tell: is told how far the index is.
    """

    def __init__(self, home: LedgerHome, git: Git, tell: Callable[[int, int], None] | None = None) -> None:
        self._log: Store = home.read()
        self._vault: Vault = home.vault()
        self._names = home.names()
        self._writings = Writings(home.folder / "trace.db")
        self._writings.follow(self._log, self._reveal, tell)
        self._git = git
        self._standing: str | None = None
        self._asker = Asker(git)
        self._tracer = Tracer(self._writings, self._asker)

    def close(self) -> None:
        """Lets go of everything."""
        self._writings.close()
        self._names.close()
        self._vault.close()
        self._log.close()

    async def file(self, path: Path | str, revision: str | None = None) -> list[Traced]:
        """Every line of a file, as it is in the work tree or in a commit.

        Raises:
            NoSuchLineError: there is no such file.
        """
        name = path if isinstance(path, str) else relative(self._git, path)
        if revision is not None:
            return await self._tracer.trace(await origins(self._git, name, await self._resolved(revision)))
        if self._standing is None:
            self._standing = await self._git.standing()
        return await self._tracer.trace(await origins(self._git, name, self._standing, standing=True))

    async def commit(self, revision: str) -> Mapped:
        """The lines that a commit brought in.

        Raises:
            NoSuchLineError: there is no such commit.
        """
        commit = await self._resolved(revision)
        async for mapped in self.mapped([commit]):
            return mapped
        raise NoSuchLineError(f"There is no commit {revision!r} here.")

    async def mapped(self, commits: Sequence[str]) -> AsyncIterator[Mapped]:
        """Each of these commits, with the runs of its lines."""
        patches = await self._asker.patches(commits)
        async for change in changes(self._git, commits):
            places = [(change.commit, path) for path in change.lines]
            await self._asker.blobs(places)
            found = {path: await self._tracer.trace(lines) for path, lines in change.lines.items()}
            yield Mapped(change, patches[change.commit], found)

    async def range(self, text: str = "", most: int = 0) -> list[str]:
        """The commits of `A..B`, or all that `B` leads to, oldest first.

        Args:
            text: empty: all of HEAD.
            most: at most so many, the newest; 0: all.

        Raises:
            NoSuchLineError: there are no such commits.
        """
        older, dots, newer = text.rpartition("..")
        if not text and self._git.head is None:
            return []
        newest = await self._resolved((newer if dots else text) or "HEAD")
        return await commits_of(self._git, newest, await self._resolved(older or "HEAD") if dots else "", most)

    async def between(self, known: str, newest: str) -> list[str]:
        """Commits by their ids alone: those that `newest` leads to and `known` does not, oldest first."""
        return await commits_of(self._git, newest, known)

    @property
    def root(self) -> Path:
        """Top of the repository's work tree."""
        return self._git.root

    def also(self, objects: Path) -> None:
        """Reads commits from another repository's objects as well."""
        self._git.also(objects)

    @property
    def git(self) -> Git:
        """The repository."""
        return self._git

    @property
    def origin(self) -> str:
        """The ledger's name."""
        return self._log.origin

    def extent(self) -> dict[str, Any]:
        """Size and root of the ledger now: from them on what it holds can be proved."""
        size = self._log.size
        return {"size": size, "root": self._log.root(size).hex()}

    def entry(self, index: int) -> dict[str, Any]:
        """One entry.

        Raises:
            LedgerError: there is none.
        """
        return self._entry(index)

    def behind(self, mapped: Mapped) -> list[dict[str, Any]]:
        """What was decided in the deliveries that a commit's lines come from, in the ledger's order."""
        deliveries = {write.delivery: write for write in mapped.writes.values() if write.delivery}
        found = {entry["index"]: entry for write in deliveries.values() for entry in self.why(write).behind}
        return [found[index] for index in sorted(found)]

    def person(self, pseudonym: str) -> str:
        """Who it is, where that is known; else the pseudonym."""
        return self._person(pseudonym)

    def stream(self, name: str) -> list[dict[str, Any]]:
        """The entries of a stream, each with its index."""
        return [{"index": index, **decode(leaf)} for index, leaf in self._log.stream(name)]

    def entered(self, key: str) -> dict[str, Any] | None:
        """The entry that was drafted under a key, with its index."""
        index = self._log.find(key)
        return None if index is None else {"index": index, **self._entry(index)}

    def is_mapped(self, commit: str) -> bool:
        """Whether any entry maps a commit."""
        return self._writings.is_mapped(commit)

    async def _resolved(self, revision: str) -> str:
        try:
            return await self._git.resolve(revision)
        except GitError as error:
            raise NoSuchLineError(f"There is no file and no commit {revision!r} here.", "Name one of them.") from error

    async def summary(
        self, now_us: int, tell: Callable[[int, int], None] | None = None, *, people: bool = False
    ) -> Share:
        """How much of what is in HEAD was written by runs, and how much of what they wrote is still there.

        Args:
            now_us: what ages are counted from, microseconds since 1970.
            tell: is told how many files of how many are traced.
            people: counts by person as well.
        """
        share = Share(now_us)
        head = self._git.head
        if head is None:
            return share
        paths = await self._texts(head)
        done = 0
        limiter = anyio.CapacityLimiter(BLAMES_AT_ONCE)

        async def look(path: str) -> None:
            nonlocal done
            async with limiter:
                lines = await self._tracer.trace(await origins(self._git, path, head))
            share.add_file(path, lines, people=people)
            done += 1
            if tell is not None:
                tell(done, len(paths))

        async with anyio.create_task_group() as group:
            for path in paths:
                group.start_soon(look, path)
        written = self._writings.written()
        # What a run wrote down beside the repository's files, such as an answer, was never to be part of it.
        named = await self._git.read(
            "log", "--format=", "--name-only", "-z", "--no-renames", "-m", "--no-show-signature", head
        )
        ever = set(named.replace("\n", "").split("\0"))
        here = await self._asker.here({write.base for write, _ in written})
        for write, lines in written:
            if write.path in ever and (not write.base or write.base in here):
                share.add_written(write, lines, people=people)
        return share

    async def _texts(self, head: str) -> list[str]:
        """The files of a commit that are text and that people or runs write: one question, by which git tells binary ones."""
        empty = (await self._git.read("mktree")).strip()
        rows = await self._git.read(
            "diff-tree", "-r", "-z", "--numstat", "--no-renames", "--no-ext-diff", "--no-textconv",
            "--ignore-submodules=all", empty, head,
        )  # fmt: skip
        parts = (row.split("\t", 2) for row in rows.split("\0") if row)
        return sorted(path for added, _, path in parts if added not in ("-", "0") and not path.endswith(_SUMMED))

    def why(self, write: Write) -> Why:
        """What is known behind a write."""
        prompt, person, requirement = "", "", ""
        if write.prompt is not None:
            entry = self._entry(write.prompt)
            prompt = self._text(entry)
            person = self._person(entry.get("for", ""))
        behind = []
        if write.delivery:
            for index, leaf in self._log.stream(f"delivery:{write.delivery}"):
                entry = {"index": index, **decode(leaf)}
                if entry["kind"] in ("approval", "verdict", "deploy", "delivery.stage", "finding"):
                    behind.append(entry)
                if entry["kind"] == "delivery.stage" and not requirement:
                    requirement = self._text(entry)
        people = {actor: self._person(actor) for actor in {entry["actor"] for entry in behind}}
        return Why(write, prompt, person, requirement, tuple(behind), people)

    def _entry(self, index: int) -> dict[str, Any]:
        for leaf in self._log.leaves(index, index + 1):
            return decode(leaf)
        raise LedgerError(f"Entry {index} is not in the ledger.", "Check it: mohist ledger check")

    def _text(self, entry: dict[str, Any]) -> str:
        payload = next(iter(entry.get("payload", ())), None)
        if payload is None:
            return ""
        try:
            content = self._reveal(payload)
        except ErasedError:
            return "(erased)"
        return "(not kept)" if content is None else content.decode("utf-8", "replace")

    def _person(self, pseudonym: str) -> str:
        return self._names.name(pseudonym) or pseudonym

    def _reveal(self, payload: dict[str, Any]) -> bytes | None:
        kept = self._log.payload(payload.get("digest") or payload["commitment"])
        if kept is None or kept[2] is None:
            return None
        try:
            return self._vault.open(kept[0], kept[1], kept[2], payload["commitment"])
        except AbsentKeyError:
            # Sealed on another machine that shares the log.
            return None


@asynccontextmanager
async def inquiry(
    home: LedgerHome, folder: Path, tell: Callable[[int, int], None] | None = None
) -> AsyncIterator[Inquiry]:
    """For the repository that `folder` lies in.

    Raises:
        LedgerError: there is no ledger.
        GitError: there is no repository.
    """
    with TemporaryDirectory(prefix="mohist-trace-") as private:
        git = await Git.capture(folder, Path(private) / "git")
        opened = Inquiry(home, git, tell)
        try:
            yield opened
        finally:
            opened.close()
            git.close()
