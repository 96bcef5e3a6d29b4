"""Started as root, the suite runs itself again as a user without any rights."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sandbox_room import run_as_nobody


@pytest.mark.skipif(os.geteuid() != 0, reason="this is the ordinary user's run")
def test_everything_holds_for_an_ordinary_user_too(nobodys_folder: Path) -> None:
    here = Path(__file__).parent
    names = ["test_escape.py", "test_lifetime.py", "test_mask.py", "test_selftest.py", "test_start.py"]
    # Where a start as root goes the same way afterwards, once is enough.
    chosen = "fails_inside or belong or starter or deaf or limit_holds or planted or litter or leaks or promise or at_once or a_start"
    suite = [str(here / name) for name in names]
    argv = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--basetemp",
        str(nobodys_folder / "tmp"),
        "-k",
        chosen,
        *suite,
    ]
    run_as_nobody(nobodys_folder, here.parents[1], argv)
