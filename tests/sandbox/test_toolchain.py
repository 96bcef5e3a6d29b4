"""Tools of a home are shown without the home."""

from __future__ import annotations

import sys
from pathlib import Path

from mohist.sandbox import Bubblewrap, Profile, find_toolchains, run


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
