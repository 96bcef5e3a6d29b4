"""What a trace asks of git: many things at once, and each of them once."""

from __future__ import annotations

from collections.abc import Iterable

from mohist.report.blame import NOT_COMMITTED
from mohist.sandbox import Git

_DIFF = ("diff-tree", "-p", "--root", "--no-ext-diff", "--no-textconv", "--no-color")


class Asker:
    """Asks one repository.

    Args:
        git: it.
    """

    def __init__(self, git: Git) -> None:
        self._git = git
        self._blobs: dict[tuple[str, str], str] = {}
        self._patches: dict[str, str] = {}
        self._here: dict[str, bool] = {}

    async def blobs(self, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """Git's ids of files, by (commit, path); empty: there is none."""
        wanted = list(dict.fromkeys(places))
        # A path that holds a line feed can't be asked for in a list of lines.
        missing = [place for place in wanted if place not in self._blobs and "\n" not in place[1]]
        said = await self._objects([f"{commit}:{path}" for commit, path in missing])
        self._blobs.update(zip(missing, said, strict=True))
        return {place: self._blobs.get(place, "") for place in wanted}

    async def patches(self, commits: Iterable[str]) -> dict[str, str]:
        """Stable patch ids, which a rebase and a cherry-pick keep; empty: it has none (a merge, no change)."""
        wanted = list(dict.fromkeys(commits))
        missing = [one for one in wanted if one not in self._patches and one != NOT_COMMITTED]
        if missing:
            given = "".join(f"{one}\n" for one in missing).encode()
            diff = await self._git.read_bytes(*_DIFF, "--stdin", given=given)
            said = await self._git.read("patch-id", "--stable", given=diff) if diff else ""
            self._patches.update(dict.fromkeys(missing, ""))
            for row in said.splitlines():
                patch, _, commit = row.partition(" ")
                self._patches[commit.strip()] = patch
        return {one: self._patches.get(one, "") for one in wanted}

    async def here(self, commits: Iterable[str]) -> set[str]:
        """Those that this repository has."""
        wanted = {one for one in commits if one}
        missing = sorted(wanted - self._here.keys())
        said = await self._objects([f"{one}^{{commit}}" for one in missing])
        self._here.update({one: bool(found) for one, found in zip(missing, said, strict=True)})
        return {one for one in wanted if self._here[one]}

    async def _objects(self, names: list[str]) -> list[str]:
        """The ids that names mean; empty: nothing."""
        if not names:
            return []
        given = "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")
        said = (await self._git.read("cat-file", "--batch-check=%(objectname)", given=given)).splitlines()
        # "<name> missing", "<name> ambiguous": no id stands alone in its row.
        return [row if " " not in row else "" for row in said]
