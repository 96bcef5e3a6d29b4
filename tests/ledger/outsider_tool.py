"""Where scripts/test-ledger has put the programs of others. Read at import: tests see no variables of ours."""

from __future__ import annotations

import os

import pytest

_GO = os.environ.get("MOHIST_TEST_GO_AUDIT", "")
_PROGRAMS = os.environ.get("MOHIST_TEST_OUTSIDERS", "")


def go_audit() -> str:
    """The auditor in Go."""
    return _there(_GO, "the auditor in Go")


def program(name: str) -> str:
    """A program of the outsiders' Python environment."""
    return _there(_PROGRAMS, name) + f"/{name}"


def _there(path: str, what: str) -> str:
    if not path:
        pytest.skip(f"{what} is not there: scripts/test-ledger makes it, or says why it can't")
    return path
