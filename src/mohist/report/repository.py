"""What a trace asks of git, each thing once."""

from __future__ import annotations

from mohist.report.blame import NOT_COMMITTED
from mohist.sandbox import Git, GitError


class Asker:
    """Asks one repository.

    Args:
        git: it.
    """

    def __init__(self, git: Git) -> None:
        self._git = git
        self._blobs: dict[tuple[str, str], str] = {}
        self._patches: dict[str, str] = {}

    async def blob(self, commit: str, path: str) -> str:
        """Git's id of a file in a commit; empty: there is none."""
        place = (commit, path)
        if place not in self._blobs:
            try:
                self._blobs[place] = (
                    await self._git.read("rev-parse", "--quiet", "--verify", f"{commit}:{path}")
                ).strip()
            except GitError:
                self._blobs[place] = ""
        return self._blobs[place]

    async def patch(self, commit: str) -> str:
        """A commit's stable patch id, which a rebase and a cherry-pick keep; empty: it has none (a merge, no change)."""
        if commit == NOT_COMMITTED:
            return ""
        if commit not in self._patches:
            diff = await self._git.read_bytes("diff-tree", "-p", "--root", "--no-ext-diff", "--no-textconv", commit)
            said = await self._git.read("patch-id", "--stable", given=diff)
            self._patches[commit] = said.split(" ")[0].strip()
        return self._patches[commit]
