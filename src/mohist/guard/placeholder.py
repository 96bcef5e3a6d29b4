"""What stands in a value's place: the same for the same value under one key, so that prompt caches hold and history can be
rebuilt; nobody without the key can make one, or try values against one.

A word of the shape `DLPx` and 12 hex digits parses wherever a name does. Where somebody looks at the form (an address, a card
with its check digit) the placeholder has that form.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from mohist.guard.errors import GuardError
from mohist.guard.form import FORMS

WORD_HEAD: Final = "DLPx"
WORD: Final = re.compile(r"DLPx[0-9a-f]{12}")
WORD_CHARS: Final = 16
MAX_CHARS: Final = 24
"""No placeholder is longer."""
_TRIES: Final = 64


class Mint:
    """Makes placeholders.

    Args:
        key: the company's; at least 16 bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise GuardError("The guard's key is too short to make placeholders with.", "Give it 16 bytes or more.")
        self._key = key

    def make(self, data_class: str, value: str, attempt: int = 0) -> str:
        """The placeholder of a value.

        Args:
            data_class: of the finding; decides the form.
            value: what it stands for.
            attempt: another number makes another placeholder.
        """
        kind = data_class.partition(".")[0]
        said = f"{kind}|{attempt}|{value}" if attempt else f"{kind}|{value}"
        digest = hmac.new(self._key, said.encode("utf-8", "surrogatepass"), sha256).digest()
        form = FORMS.get(data_class)
        shaped = form(value, int.from_bytes(digest, "big")) if form is not None else None
        return shaped or WORD_HEAD + digest.hex()[: WORD_CHARS - len(WORD_HEAD)]


class Placeholders:
    """The placeholders of one conversation: one for each value, one value for each.

    Args:
        mint: makes them.
        known: what stood for what before, by placeholder.
    """

    def __init__(self, mint: Mint, known: Mapping[str, str] = MappingProxyType({})) -> None:
        self._mint = mint
        self._values = dict(known)
        self._made = {value: placeholder for placeholder, value in known.items()}

    @property
    def values(self) -> Mapping[str, str]:
        """What each placeholder stands for."""
        return self._values

    def of(self, data_class: str, value: str) -> str:
        """The placeholder of a value; the value itself when it is a placeholder.

        Raises:
            GuardError: every placeholder that was tried stands for something else.
        """
        if value in self._values or WORD.fullmatch(value):
            return value
        made = self._made.get(value)
        if made is not None:
            return made
        for attempt in range(_TRIES):
            made = self._mint.make(data_class, value, attempt)
            if made != value and made not in self._values and made not in self._made:
                self._values[made] = value
                self._made[value] = made
                return made
        raise GuardError("No free placeholder was found.", "Start a new conversation.", audience="bug")
