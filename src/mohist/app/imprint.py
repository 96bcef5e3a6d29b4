"""Digests of what is in force when a run starts: by them an entry says under which settings and rules a run worked."""

from __future__ import annotations

import json
import re
from collections.abc import Set as AbstractSet
from dataclasses import asdict
from typing import Any

from mohist.app.config import Config
from mohist.base import sha256_hex
from mohist.policy import RuleSet
from mohist.policy.pattern import Word


def imprint(config: Config, rules: RuleSet) -> dict[str, str]:
    """SHA-256 of the settings as `mohist config explain` shows them, and of the agent's rules; in hex.

    Values that are never shown (headers, passwords) are not part of it: a short one could be guessed from a digest.
    """
    settings = {entry.key: entry.as_json()["value"] for entry in config.explained}
    return {"settings": _digest(settings), "rules": _digest([asdict(rule) for rule in rules.rules])}


def _digest(value: Any) -> str:
    return sha256_hex(json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain).encode())


def _plain(value: Any) -> Any:
    if isinstance(value, AbstractSet):
        # It has no order of its own, and another one in each process.
        return sorted(map(str, value))
    if isinstance(value, re.Pattern):
        return value.pattern
    if isinstance(value, Word):
        return {name: getattr(value, name) for name in Word.__slots__}
    raise TypeError(type(value).__name__)
