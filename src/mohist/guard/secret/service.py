"""Names of services whose keys have no mark of their own, as parts of expressions."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib.resources import files

_BETWEEN = "[ ._-]?"


def with_services(expression: str) -> str:
    """An expression in which "@names@" and "@words@" stand for the lists of `data/service.toml`."""
    if "@" not in expression:
        return expression
    for key, names in _lists().items():
        expression = expression.replace(f"@{key}@", names)
    return expression


@lru_cache(maxsize=1)
def _lists() -> dict[str, str]:
    lists = tomllib.loads((files("mohist.guard") / "data" / "service.toml").read_text(encoding="utf-8"))
    return {
        key: "|".join(sorted(name.replace("_?", "_").replace("_", _BETWEEN) for name in text.split()))
        for key, text in lists.items()
    }
