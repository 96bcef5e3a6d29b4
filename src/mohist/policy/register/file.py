"""A register as a file: TOML in and out.

    [register]
    unlisted = "allow"          # or "deny"

    [[entry]]
    id = "claude-code-marks"
    tool = "claude-code"
    versions = ">=2.1.91 <2.1.197"
    disposition = "banned"
    …

A file is refused as a whole when anything in it is not understood: half a register is worse than none.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mohist.policy.errors import RegisterError
from mohist.policy.register.decision import Register, Settings
from mohist.policy.register.entry import MAX_TEXT_CHARS, as_mapping, entry_of

_SETTINGS: Final = ("unlisted", "two_persons", "ask")
MAX_ENTRIES: Final = 10_000


def settings_of(table: Mapping[str, Any], where: str) -> Settings:
    """The settings of a register.

    Raises:
        RegisterError: a key is unknown or says what it may not.
    """
    for key in table:
        if key not in _SETTINGS:
            near = difflib.get_close_matches(key, _SETTINGS, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(_SETTINGS)}."
            raise RegisterError(f"{where}: [register] has the unknown key {key!r}.", hint)
    unlisted, two, ask = table.get("unlisted", "allow"), table.get("two_persons", False), table.get("ask", "")
    if unlisted not in ("allow", "deny"):
        raise RegisterError(f"{where}: unlisted = {unlisted!r}.", 'Write "allow" or "deny".')
    if not isinstance(two, bool):
        raise RegisterError(f"{where}: two_persons = {two!r}.", "Write true or false.")
    if not isinstance(ask, str) or len(ask) > MAX_TEXT_CHARS or not ask.isprintable():
        raise RegisterError(f"{where}: `ask` is no text of one line.", f"{MAX_TEXT_CHARS} characters at most.")
    return Settings(unlisted, two, ask)


def parse_register(text: str, origin: str) -> Register:
    """The register that a file holds.

    Raises:
        RegisterError: naming the entry and what is wrong with it.
    """
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RegisterError(
            f"{origin}: not valid TOML: {error}.", "Correct the file; no entry of it is in force."
        ) from None
    tables, head = data.pop("entry", []), data.pop("register", {})
    if data:
        raise RegisterError(f"{origin}: unknown key {next(iter(data))!r}.", "Known: [register], [[entry]].")
    if not isinstance(head, dict):
        raise RegisterError(f"{origin}: `register` is no table.", "Write it under [register].")
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise RegisterError(f"{origin}: `entry` is no list of tables.", "Write each entry under its own [[entry]].")
    if len(tables) > MAX_ENTRIES:
        raise RegisterError(f"{origin}: {len(tables)} entries; at most {MAX_ENTRIES} are read.")
    entries = []
    seen: set[str] = set()
    for number, table in enumerate(tables, 1):
        shown = repr(table["id"]) if isinstance(table.get("id"), str) else f"number {number}"
        entry = entry_of(table, f"{origin}: entry {shown}")
        if entry.entry_id in seen:
            raise RegisterError(f"{origin}: two entries have the id {entry.entry_id!r}.", "Give each its own.")
        seen.add(entry.entry_id)
        entries.append(entry)
    return Register(tuple(entries), settings_of(head, origin), origin)


def as_text(register: Register) -> str:
    """A register as TOML; `parse_register` reads it back."""
    settings = register.settings
    lines = ["[register]", f"unlisted = {_quoted(settings.unlisted)}"]
    lines += ["two_persons = true"] if settings.two_persons else []
    lines += [f"ask = {_quoted(settings.ask)}"] if settings.ask else []
    for entry in register.entries:
        lines += ["", "[[entry]]", *(f"{key} = {_value(key, value)}" for key, value in as_mapping(entry).items())]
    return "\n".join(lines) + "\n"


def _value(key: str, value: Any) -> str:
    if key in ("effective", "expires"):
        return str(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_value(name, one)}" for name, one in value.items()) + " }"
    return "[" + ", ".join(_value("", one) for one in value) + "]"


def _quoted(text: str) -> str:
    """A basic string (https://toml.io/en/v1.0.0#string)."""
    return '"' + "".join(_escaped(text)) + '"'


def _escaped(text: str) -> Iterator[str]:
    for letter in text:
        if letter in '"\\':
            yield "\\" + letter
        elif letter < " " or letter == "\x7f":
            yield f"\\u{ord(letter):04x}"
        else:
            yield letter
