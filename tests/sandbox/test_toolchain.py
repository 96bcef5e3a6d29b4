"""Tools of a home are shown without the home; running without a sandbox needs to be asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mohist.sandbox import Bubblewrap, Profile, RefusedError, SandboxError, Unconfined, find_toolchains, run


def test_only_tool_folders_on_the_path_are_found_and_never_a_parent(tmp_path: Path) -> None:
    home = tmp_path / "home"
    folders = (
        ".pyenv/versions/3.99/bin",
        ".cargo/bin",
        ".local/bin",
        ".ssh",
        ".nvm/versions/node/v1/bin",
        "venv/bin",
        "x/bin",
    )
    for name in folders:
        (home / name).mkdir(parents=True)
    (home / "venv" / "pyvenv.cfg").write_text(f"home = {home}/.pyenv/versions/3.99/bin\n", encoding="utf-8")
    path = [
        str(home / name) for name in ("venv/bin", ".cargo/bin", ".nvm/versions/node/v1/bin", "x/bin", ".ssh", "missing")
    ]
    found = find_toolchains({"PATH": ":".join([*path, "relative/bin", "/usr/bin"]), "HOME": str(home)})
    below = {str(folder.relative_to(home)) for folder in found if folder.is_relative_to(home)}
    assert below == {"venv", ".cargo/bin", ".nvm/versions/node/v1", ".pyenv/versions/3.99"}
    assert Path(sys.base_prefix).resolve() in found or sys.base_prefix.startswith("/usr")


async def test_the_tools_mohist_runs_on_work_inside(sandbox: Bubblewrap, workspace: Path) -> None:
    profile = Profile(workspace, extra_readable=find_toolchains({"PATH": str(Path(sys.executable).parent)}))
    done = await run(sandbox, ["python", "-c", "import anyio; print('here')"], cwd=workspace, profile=profile)
    assert done.output == b"here\n"


async def test_unconfined_must_be_asked_for_and_says_what_it_is(workspace: Path) -> None:
    for word in ("", "on", "auto"):
        with pytest.raises(RefusedError):
            Unconfined(accepted=word, env={})
    off = Unconfined(accepted="off", env={"PATH": "/usr/bin:/bin"}, grace_s=0.2)
    assert "OFF" in off.name
    assert [item.holds for item in await off.report()] == ["no"]
    done = await run(
        off, ["sh", "-c", "echo $X; sleep 600 & exit 3"], cwd=workspace, profile=Profile(workspace, env={"X": "y"})
    )
    assert (done.exit.code, done.output) == (3, b"y\n")
    deaf = await run(
        off,
        ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"],
        cwd=workspace,
        profile=Profile(workspace),
        timeout_s=0.5,
    )
    assert deaf.timed_out
    assert deaf.exit.code == 137
    with pytest.raises(SandboxError, match="could not be started"):
        await run(off, ["no-such-program"], cwd=workspace, profile=Profile(workspace))
