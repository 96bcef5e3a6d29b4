"""Several connections of one process, and other processes beside it, see one database."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mohist.gateway.store import Store, database_path

_CHANGE = """
import sys
from pathlib import Path
from mohist.gateway.store import Store
with Store(Path(sys.argv[1])) as store:
    with store._change():
        pass
    print(store.revision())
"""


def test_a_process_that_closes_last_takes_nothing_away_from_the_others(tmp_path: Path) -> None:
    path = database_path(tmp_path)
    with Store(path) as watcher:
        watcher.revision()
        with Store(path) as writer:
            writer.revision()
            for _ in range(3):
                done = subprocess.run(
                    [sys.executable, "-c", _CHANGE, str(path)], capture_output=True, text=True, check=True, timeout=60
                )
                assert watcher.revision() == int(done.stdout)
                assert writer.revision() == int(done.stdout)
