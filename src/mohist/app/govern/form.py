"""Settings files of clients: read, merged and written as JSON, YAML or TOML by their name."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from mohist.app.errors import ConfigError

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def kind(name: str) -> str:
    """`toml`, `yaml` or `json`, by a file's name."""
    suffix = PurePosixPath(name).suffix.removeprefix(".")
    return {"yml": "yaml"}.get(suffix, suffix)


def read(name: str, text: str) -> dict[str, Any]:
    """What a settings file says.

    Raises:
        ConfigError: it can't be read, or says no table.
    """
    try:
        value = tomllib.loads(text) if kind(name) == "toml" else json.loads(text)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{name!r} in the client's home can't be read: {error}.", "Mend it, or use a fresh home.") from error  # fmt: skip
    if not isinstance(value, dict):
        raise ConfigError(f"{name!r} in the client's home holds no table.", "Mend it, or use a fresh home.")
    return value


def write(name: str, value: Mapping[str, Any]) -> str:
    """A file's text; comments of the one it was read from are lost."""
    if kind(name) == "toml":
        return "\n".join(_toml(value, ())).lstrip("\n") + "\n"
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"  # which is YAML, too


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Both; where they differ the second holds, also for whole lists."""
    both = dict(first)
    for key, value in second.items():
        old = both.get(key)
        both[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return both


def _toml(table: Mapping[str, Any], place: tuple[str, ...]) -> list[str]:
    lines = [f"{_key(key)} = {_value(value)}" for key, value in table.items() if not isinstance(value, Mapping)]
    if place and (lines or not table):
        lines.insert(0, "\n[" + ".".join(_key(part) for part in place) + "]")
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines += _toml(value, (*place, key))
    return lines


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _value(key)


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items()) + " }"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # TOML's basic strings take JSON's escapes, and of what JSON leaves as it is only DEL has to be one.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Sequence):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    return str(value)  # numbers, dates and times are written as Python writes them
