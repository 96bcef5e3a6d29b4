"""Texts with fields of a JSON document in them, named by JSON pointer (RFC 6901): `{/issue/title}`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from mohist.delivery.errors import FieldError

_FIELD: Final = re.compile(r"\{(/[^{}]*)\}")
_INDEX: Final = re.compile(r"0|[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class Template:
    """A text whose `{/POINTER}` stand for what a document holds there. What is put in is not looked through again."""

    text: str

    @property
    def pointers(self) -> tuple[str, ...]:
        """The fields that it names."""
        return tuple(_FIELD.findall(self.text))

    def filled(self, document: Any) -> str:
        """The text for a document.

        Raises:
            FieldError: there is no such field, or it is neither text nor a number.
        """
        return _FIELD.sub(lambda found: _word(found[1], at(document, found[1])), self.text)


def at(document: Any, pointer: str) -> Any:
    """What a document holds at a pointer; the empty one is the whole.

    Raises:
        FieldError: there is nothing.
    """
    value = document
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and _INDEX.fullmatch(name) and int(name) < len(value):
            value = value[int(name)]
        else:
            raise FieldError(f"There is no field {pointer!r}.")
    return value


def holds(document: Any, when: tuple[tuple[str, tuple[Any, ...]], ...]) -> bool:
    """Whether a document holds one of the wanted values at each of the pointers."""
    for pointer, wanted in when:
        try:
            value = at(document, pointer)
        except FieldError:
            return False
        # In Python 1 is True and 1.0; in a document they are not.
        if not any(type(value) is type(one) and value == one for one in wanted):
            return False
    return True


def _word(pointer: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise FieldError(f"The field {pointer!r} is neither text nor a number.")
