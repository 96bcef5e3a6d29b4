"""Started as root, what shows the fence runs again as a user without any rights."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sandbox_room import run_as_nobody


@pytest.mark.skipif(os.geteuid() != 0, reason="this is the ordinary user's run")
def test_the_fence_and_terminals_hold_for_an_ordinary_user_too(nobodys_folder: Path) -> None:
    here = Path(__file__).parent
    names = ["test_fence_door.py", "test_fence_credential.py", "test_fence_tools.py", "test_terminal.py"]
    # What a rule says is the same for everybody; how the fence gets into the tree is not.
    chosen = "gets_out or knows_no_proxy or any_port or any_server or answers_itself or nowhere_inside or git_clones or controlling or interrupt or home_of"
    suite = [str(here / name) for name in names]
    argv = [
        "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--basetemp", str(nobodys_folder / "tmp"), "-k", chosen, *suite,
    ]  # fmt: skip
    run_as_nobody(nobodys_folder, here.parents[1], argv)
