"""Records the run of test_real_package.py anew, with the answers of the present recording.

For when a tool says something in other words, so that the recording no longer fits. Look at what changed in the
recording before you commit it: an answer that no longer makes sense has to be thought of anew.

    python tests/replay/renew.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import anyio

sys.path.insert(0, str(Path(__file__).parents[1]))

from real_package import CHECK, RECORDING, TASK, User, checkout, ended, recorded_answers

from fakes.upstream import Upstream


async def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        user = User(checkout(room), room / "state")
        new = room / "turns.jsonl"
        async with Upstream(recorded_answers(RECORDING)) as upstream:
            words = ["run", "--model", f"{upstream.url}/v1#engineer", "--record", str(new), "--check", CHECK, TASK]
            said = await anyio.to_thread.run_sync(ended, user.start(*words))
        print(said.err, said.out, sep="")
        if said.code == 0:
            RECORDING.write_bytes(new.read_bytes())
        return said.code


if __name__ == "__main__":
    raise SystemExit(anyio.run(main))
