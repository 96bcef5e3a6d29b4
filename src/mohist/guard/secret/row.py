"""One rule as a file says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Row:
    """A table `[[rule]]`; what each key means is said in docs/guard.md."""

    id: str
    expression: str
    matches: tuple[str, ...]
    passes: tuple[str, ...]
    name: str = ""
    ignore_case: bool = False
    keywords: tuple[str, ...] = ()
    data_class: str = "secret.company"
    confidence: float | None = None
    sure: str = ""
    width: int = 1024
    validator: str = ""
    strict: bool = False
    drop: list[Any] | None = None
    weak: list[Any] | None = None
    path: str = ""
    beside: tuple[str, ...] = ()

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Self:
        """A table of ours, whose form is known to be right."""
        values = {"data_class" if key == "class" else key: value for key, value in table.items()}
        for key in ("matches", "passes", "keywords", "beside"):
            values[key] = tuple(values.get(key, ()))
        return cls(**values)
