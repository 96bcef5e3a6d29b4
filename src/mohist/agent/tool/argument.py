"""From the JSON a model wrote to typed arguments: shapes are mended, contents never are."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from mohist.agent.tool.errors import ToolArgumentError


class Fields:
    """The arguments of one call, taken out one by one; `done` refuses what is left over."""

    def __init__(self, tool: str, values: Mapping[str, Any], where: str = "") -> None:
        self._tool = tool
        self._values = dict(values)
        self._known: list[str] = []
        self._where = where

    @classmethod
    def of(cls, tool: str, arguments: str) -> Fields:
        """Raises ToolArgumentError unless `arguments` is one JSON object with no key twice."""
        try:
            values = json.loads(arguments or "{}", object_pairs_hook=_no_key_twice)
        except ValueError as error:
            raise ToolArgumentError(
                f"The arguments of {tool!r} are not valid JSON: {error}.",
                "Send the call again with one JSON object; split a very long text over several calls.",
            ) from None
        if not isinstance(values, dict):
            raise ToolArgumentError(f"The arguments of {tool!r} must be a JSON object, not {_kind(values)}.")
        return cls(tool, values)

    def text(self, key: str, default: str | None = None) -> str:
        """Taken as it is; never made from another type."""
        value = self._take(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, "a string", value)
        return value

    def number(self, key: str, default: int, least: int = 0) -> int:
        """`"5"` and `5.0` count as 5."""
        value = self._take(key, default)
        if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(key, "a whole number", value)
        if value < least:
            raise ToolArgumentError(f"{self._name(key)} must be at least {least}, not {value}.")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """`"true"` and `"false"` count too."""
        value = self._take(key, default)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            value = value.lower() == "true"
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        value = self.text(key, default)
        if value not in choices:
            raise ToolArgumentError(f"{self._name(key)} is one of {', '.join(choices)}, not {value!r}.")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; absent or a lone string count as a list too, and the list may come as a JSON string."""
        self._known.append(key)
        value = self._values.pop(key, None)
        if isinstance(value, str) and value.lstrip().startswith("["):
            try:
                value = json.loads(value)
            except ValueError:
                raise self._wrong(key, "a list of strings", value) from None
        if isinstance(value, str):
            value = [value] if value else []
        if value is None:
            value = []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(key, "a list of strings", value)
        return tuple(value)

    def objects(self, key: str) -> list[Fields]:
        """A list of objects; a lone object counts as a list of one, and the list may come as a JSON string."""
        value = self._take(key, None)
        if isinstance(value, str):
            try:
                value = json.loads(value, object_pairs_hook=_no_key_twice)
            except ValueError:
                raise self._wrong(key, "a list of objects", value) from None
        if isinstance(value, dict):
            value = [value]
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self._wrong(key, "a list of objects", value)
        return [Fields(self._tool, item, f"{key}[{index}].") for index, item in enumerate(value)]

    def done(self) -> None:
        """Raises ToolArgumentError for a key that nobody asked for, with the nearest that exists."""
        for key in self._values:
            near = difflib.get_close_matches(key, self._known, 1)
            mend = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(self._known)}."
            raise ToolArgumentError(f"{self._tool!r} takes no argument {self._where + key!r}.", mend)

    def _take(self, key: str, default: Any) -> Any:
        self._known.append(key)
        value = self._values.pop(key, None)
        if value is None:
            value = default
        if value is None:
            raise ToolArgumentError(f"{self._tool!r} needs the argument {self._where + key!r}.")
        return value

    def _name(self, key: str) -> str:
        return f"Argument {self._where + key!r} of {self._tool!r}"

    def _wrong(self, key: str, wanted: str, value: Any) -> ToolArgumentError:
        return ToolArgumentError(f"{self._name(key)} must be {wanted}, not {_kind(value)}.")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key!r} stands there twice")
        found[key] = value
    return found


def _kind(value: Any) -> str:
    names = {str: "a string", bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), "null")
