"""The rules that come with the program: the catalogue taken from maintained rule sets, and our own."""

from __future__ import annotations

import json
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from mohist.guard.errors import GuardDataError
from mohist.guard.secret.predicate import NEVER, predicate
from mohist.guard.secret.rule import SURE, Rule

FORMAT = 1


@lru_cache(maxsize=1)
def catalogue() -> tuple[Rule, ...]:
    """Rules of Betterleaks and Veles.

    Raises:
        GuardDataError: the file is damaged or of another format.
    """
    try:
        data: dict[str, Any] = json.loads((files("mohist.guard") / "data" / "catalogue.json").read_bytes())
        if data["format"] != FORMAT:
            raise GuardDataError(f"The catalogue of rules has format {data['format']!r}; this program reads {FORMAT}.")
        shared = [predicate(form) for form in data["shared"]]
        common = sha256(json.dumps(data["shared"]).encode()).hexdigest()
        licences = {source: str(about["licence"]) for source, about in data["sources"].items()}
        return tuple(_rule(row, shared, common, licences) for row in data["rules"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GuardDataError(
            f"The catalogue of rules can't be read ({type(error).__name__}).", "Install the program anew."
        ) from None


def _rule(row: dict[str, Any], shared: list[Any], common: str, licences: dict[str, str]) -> Rule:
    return Rule(
        id=row["id"],
        expression=row["expression"],
        data_class=row["class"],
        confidence=SURE[row["sure"]],
        name=row["name"],
        source=row["source"],
        licence=licences[row["source"]],
        keywords=tuple(row["keywords"]),
        width_bytes=row["width"],
        drop=predicate(row["drop"], shared) if "drop" in row else NEVER,
        weak=predicate(row["weak"], shared) if "weak" in row else NEVER,
        filters=json.dumps([row.get("drop"), row.get("weak"), common]),
        path=row.get("path", ""),
        validator=row.get("validator", ""),
        beside=tuple(row.get("beside", ())),
    )
