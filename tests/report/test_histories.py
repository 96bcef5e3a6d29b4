"""The same as the few histories of `test_line_trace`, a thousand times."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from judge import assert_good, judged_all

from mohist.ledger.vault import Vault
from mohist.ledger.writer import Writer

HISTORIES = int(os.environ.get("MOHIST_TEST_HISTORIES", "1000"))


@pytest.mark.history
async def test_a_thousand_histories_lose_few_lines_and_tie_none_to_a_wrong_run(
    tmp_path: Path, store: tuple[Writer, Vault]
) -> None:
    writer, vault = store
    total = await judged_all(tmp_path, writer, vault, range(1000, 1000 + HISTORIES))
    assert_good(total)
    assert total["found"] > HISTORIES * 5
