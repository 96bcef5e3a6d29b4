"""A core for each test, closed after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rig import Rig


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(**parts: Any) -> Rig:
        rig = Rig(tmp_path, **parts)
        made.append(rig)
        return rig

    yield make
    for rig in made:
        rig.log.close()
