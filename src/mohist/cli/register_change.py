"""Makes a change of the register for a command, and says what became of it."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from mohist.base import ExitCode

if TYPE_CHECKING:
    from mohist.gateway.register import Edit, RegisterStore


def changed(store: RegisterStore, edit: Edit, args: argparse.Namespace, *, fresh: bool = False) -> int:
    """Makes a change, and says what became of it."""
    waiting = store.change(edit, fresh=fresh)
    if args.json:
        said = {"in_force": waiting is None, "proposal": None if waiting is None else waiting.proposal_id}
        print(json.dumps({**said, **edit.mapping}, indent=2, ensure_ascii=False))
        return ExitCode.DONE if waiting is None else ExitCode.WAITING
    if waiting is not None:
        print(f"{waiting.proposal_id} waits for somebody else: mohist register approve {waiting.proposal_id}")
        return ExitCode.WAITING
    touched = ", ".join(edit.ids) or "the settings"
    print(f"{touched}: in force. Running servers know within two seconds.")
    return ExitCode.DONE
