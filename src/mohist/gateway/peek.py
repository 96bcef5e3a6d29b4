"""Whether any budget binds somebody, asked of the file itself.

For the start of a run: the library that the rest of the gateway asks by takes longer to load than everything else before the
first call, and most installations have no budget.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path


def has_budget(database: Path, places: Iterable[tuple[str, str]]) -> bool:
    """True where one of `places` (subject and name) has a budget, and wherever that can't be told this way."""
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as db:
            query = "SELECT 1 FROM budgets WHERE subject = ? AND name = ?"
            return any(db.execute(query, place).fetchone() is not None for place in places)
    except sqlite3.Error:
        return True
