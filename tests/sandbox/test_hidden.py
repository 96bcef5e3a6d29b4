"""What a profile hides of a workspace is shown without content, can't be changed, and is untouched on the disk."""

# ruff: noqa: ASYNC240 - tests look at the disk between awaits

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mohist.sandbox import Bubblewrap, Profile, RefusedError, run

HIDDEN = (".claude", ".mcp.json", ".env", ".tool.yml", "packages/x/.opencode")


@pytest.fixture
def settings(workspace: Path) -> Path:
    """A workspace with the settings of several clients."""
    for folder in (".claude", "packages/x/.opencode"):
        (workspace / folder).mkdir(parents=True)
        (workspace / folder / "settings.json").write_text('{"hooks": "planted"}', encoding="utf-8")
    (workspace / ".mcp.json").write_text('{"servers": "planted"}', encoding="utf-8")
    (workspace / ".env").write_text("URL=planted\n", encoding="utf-8")
    (workspace / ".tool.yml").write_text("url: planted\n", encoding="utf-8")
    return workspace


async def test_nothing_of_what_is_hidden_can_be_read(sandbox: Bubblewrap, settings: Path, profile: Profile) -> None:
    script = "ls -A .claude packages/x/.opencode; cat .mcp.json .tool.yml .env; grep -r planted . ; true"
    bare = await run(sandbox, ["sh", "-c", script], cwd=settings, profile=profile)
    assert b"planted" in bare.output  # so the probe can tell
    done = await run(sandbox, ["sh", "-c", script], cwd=settings, profile=replace(profile, hidden=HIDDEN))
    assert done.output.split() == [b".claude:", b"packages/x/.opencode:", b"{}", b"{}"]


async def test_it_can_be_neither_changed_nor_moved_away(sandbox: Bubblewrap, settings: Path, profile: Profile) -> None:
    script = """
    touch .claude/new; echo x > .mcp.json; rm -rf .claude .mcp.json .env; mv .env gone; mv .claude gone
    ln -sf /tmp/other .env; mv packages moved; mkdir -p packages/x; cat packages/x/.opencode/* moved/x/.opencode/*; true
    """
    before = {path: path.read_bytes() for path in settings.rglob("*") if path.is_file() and ".git/" not in str(path)}
    done = await run(sandbox, ["sh", "-c", script], cwd=settings, profile=replace(profile, hidden=HIDDEN))
    assert b"planted" not in done.output
    left = sorted(path.read_bytes() for path in settings.rglob("*") if path.is_file() and ".git/" not in str(path))
    assert left == sorted(before.values())


async def test_the_folder_is_as_it_was_when_the_tree_has_ended(
    sandbox: Bubblewrap, settings: Path, profile: Profile
) -> None:
    before = sorted(str(path) for path in settings.rglob("*"))
    await run(sandbox, ["true"], cwd=settings, profile=replace(profile, hidden=HIDDEN))
    assert sorted(str(path) for path in settings.rglob("*")) == before
    assert (settings / ".env").read_text(encoding="utf-8") == "URL=planted\n"


@pytest.mark.parametrize("name", [".git", ".git/config", "../other", "/etc", "a/../b", ""])
async def test_what_can_not_be_hidden_is_refused(
    sandbox: Bubblewrap, workspace: Path, profile: Profile, name: str
) -> None:
    with pytest.raises(RefusedError, match="can't be hidden"):
        await run(sandbox, ["true"], cwd=workspace, profile=replace(profile, hidden=(name,)))


async def test_a_link_in_its_place_is_refused(sandbox: Bubblewrap, workspace: Path, profile: Profile) -> None:
    (workspace / "innocent").mkdir()
    (workspace / ".opencode").symlink_to("innocent")
    with pytest.raises(RefusedError, match="symbolic link"):
        await run(sandbox, ["true"], cwd=workspace, profile=replace(profile, hidden=(".opencode",)))


async def test_a_read_only_workspace_hides_nothing_and_says_so(
    sandbox: Bubblewrap, workspace: Path, profile: Profile
) -> None:
    with pytest.raises(RefusedError, match="writable workspace"):
        await run(sandbox, ["true"], cwd=workspace, profile=replace(profile, writable=False, hidden=(".env",)))
