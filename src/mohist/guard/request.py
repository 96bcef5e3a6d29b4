"""The texts of a model call, each with who wrote it and where it stands, and the way back into the bytes.

Every string of the body is looked at, keys and unknown fields included, and so is every number that is long enough to
identify something. Left out are only the dialects' own words (`mohist.guard.word`), and media and sealed data, which are
listed in `skipped`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from mohist.guard.block import Block, Source
from mohist.guard.errors import GuardError, GuardLimitError
from mohist.guard.limit import DEFAULT, Limits
from mohist.guard.region import Dialect, Key, escaped, regions
from mohist.guard.seal import Skipped, sort_of_skipped
from mohist.guard.word import LONGEST_WORD, WORDS

INSIDE = "#"
"""In a block's path, between the pointer to a string and the pointer within the JSON that this string is."""

_MIN_NUMBER = 10**8
"""Smaller numbers identify nobody."""
_EXACT = 2**63
"""From here on numbers are read inexactly; their digits are taken from the bytes."""
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_LONG_NUMBER = re.compile(rb"[:,\[]\s*(-?[0-9]{19,})(?=[\s,\]}.eE])")


class Request:
    """A call's body, read once.

    Args:
        body: JSON, an object.
        dialect: which fields mean what; those that it does not know are looked at as well.
        limits: of nesting and of the number of texts.

    Raises:
        GuardError: the body is no JSON object.
        GuardLimitError: it is over a limit.
    """

    def __init__(self, body: bytes, dialect: Dialect, limits: Limits = DEFAULT) -> None:
        self.blocks: list[Block] = []
        """In the order of the body."""
        self.skipped: list[Skipped] = []
        """What was not looked at, and why."""
        self._body = body
        self._limits = limits
        self._fixed: set[int] = set()
        self._inner: dict[int, tuple[str, bytes]] = {}
        """Of the blocks that stand in a string of JSON: that string's pointer, and the string."""
        self._keys: set[str] = set()
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            value = None
        if not isinstance(value, dict):
            raise GuardError("The body is no JSON object, so it can't be inspected.", "Tell whoever made the client.")
        for pointer, found, source, name, arguments in regions(dialect, value):
            if type(found) is Key:
                self._key(found, pointer, source, name)
            else:
                self._walk(found, pointer, source, name, arguments, 2)
        if len(self.blocks) > limits.max_leaves:
            raise GuardLimitError(f"The request holds more than {limits.max_leaves} texts.")

    def can_change(self, index: int) -> bool:
        """Whether another text can stand in the place of this block; not so for keys and numbers."""
        return index not in self._fixed

    def rewrite(self, changes: Mapping[int, str]) -> bytes:
        """The body with other texts in the place of some blocks; all other bytes are as they came.

        Args:
            changes: the new text of a block, by its index in `blocks`.

        Raises:
            GuardError: a block can't be changed, or the new text is no Unicode text.
        """
        if not changes:
            return self._body
        new: dict[str, str] = {}
        within: dict[str, dict[str, str]] = {}
        bodies: dict[str, bytes] = {}
        for index, text in changes.items():
            if index in self._fixed:
                raise GuardError("A name or a number in a request can't be changed, only a text.")
            path = self.blocks[index].path
            if index in self._inner:
                outer, bodies[outer] = self._inner[index]
                within.setdefault(outer, {})[path[len(outer) + len(INSIDE) :]] = text
            else:
                new[path] = text
        for outer, inner in within.items():
            new[outer] = _spliced(bodies[outer], inner).decode()
        return _spliced(self._body, new)

    def _walk(self, value: Any, path: str, source: Source, name: str, arguments: bool, depth: int) -> None:
        if depth > self._limits.max_depth:
            raise GuardLimitError(f"The request is nested deeper than {self._limits.max_depth} levels.")
        if len(self.blocks) > self._limits.max_leaves:
            raise GuardLimitError(f"The request holds more than {self._limits.max_leaves} texts.")
        if type(value) is dict:
            for key, item in value.items():
                word = key
                if key not in WORDS:
                    word = escaped(key)
                    self._key(key, f"{path}/{word}", source, name)
                kind = type(item)
                if kind is str:
                    # Most of what a request holds; pointers are made for what is kept only.
                    if len(item) < LONGEST_WORD:
                        if item not in WORDS:
                            if arguments:
                                self._text(key, item, f"{path}/{word}", source, name, arguments, depth)
                            else:
                                self.blocks.append(Block(item, source, f"{path}/{word}", name))
                    else:
                        self._text(key, item, f"{path}/{word}", source, name, arguments, depth)
                elif kind is dict or kind is list:
                    if item:
                        self._walk(item, f"{path}/{word}", source, name, arguments, depth + 1)
                elif kind is float or (kind is int and not -_MIN_NUMBER < item < _MIN_NUMBER):
                    self._walk(item, f"{path}/{word}", source, name, arguments, depth + 1)
        elif type(value) is list:
            for number, item in enumerate(value):
                self._walk(item, f"{path}/{number}", source, name, arguments, depth + 1)
        elif type(value) is str:
            if len(value) >= LONGEST_WORD or value not in WORDS:
                self._text(path.rpartition("/")[2], value, path, source, name, arguments, depth)
        elif type(value) is int:
            if not -_MIN_NUMBER < value < _MIN_NUMBER:
                self._add_fixed(str(value), path, source, name)
        elif type(value) is float:
            self._float(value, path, source, name)

    def _text(self, key: str, text: str, path: str, source: Source, name: str, arguments: bool, depth: int) -> None:
        if what := sort_of_skipped(key, text, source):
            self.skipped.append(Skipped(path, what, len(text)))
            return
        if arguments and key == "arguments" and text.lstrip()[:1] in ("{", "["):
            data = text.encode()
            try:
                value = orjson.loads(data)
            except orjson.JSONDecodeError:
                value = None
            if value is not None:
                first = len(self.blocks)
                self._walk(value, path + INSIDE, source, name, False, depth + 1)
                for index in range(first, len(self.blocks)):
                    self._inner[index] = (path, data)
                return
        self.blocks.append(Block(text, source, path, name))

    def _key(self, key: str, path: str, source: Source, name: str) -> None:
        if key not in self._keys:
            self._keys.add(key)
            self._add_fixed(key, path, source, name)

    def _add_fixed(self, text: str, path: str, source: Source, name: str) -> None:
        self._fixed.add(len(self.blocks))
        self.blocks.append(Block(text, source, path, name))

    def _float(self, value: float, path: str, source: Source, name: str) -> None:
        if abs(value) < _EXACT:
            if not value.is_integer() and len(text := repr(value)) > len(str(_MIN_NUMBER)):
                self._add_fixed(text, path, source, name)
            return
        # Which of the long numbers this is can't be told; all of them are looked at, once each.
        for found in _LONG_NUMBER.finditer(self._body):
            self._key(found[1].decode(), path, source, name)


def walk(body: bytes, dialect: Dialect, limits: Limits = DEFAULT) -> Iterator[Block]:
    """The texts of a call; see `Request`."""
    return iter(Request(body, dialect, limits).blocks)


def _spliced(body: bytes, new: Mapping[str, str]) -> bytes:
    """A JSON text with the strings at some pointers replaced."""
    places = _places(orjson.loads(body))
    spans = [found.span() for found in _STRING.finditer(body)]
    if len(spans) != len(places):
        # An object that has a key twice: which of the two is meant depends on who reads it.
        raise GuardError("A request that has a key twice in an object can't be changed.")
    pieces = []
    done = 0
    for (start, end), pointer in zip(spans, places, strict=True):
        if pointer is not None and pointer in new:
            try:
                text = orjson.dumps(new[pointer])
            except TypeError:
                raise GuardError("What was to be put into the request is no Unicode text.") from None
            pieces += [body[done:start], text]
            done = end
    return b"".join([*pieces, body[done:]])


def _places(value: Any) -> list[str | None]:
    """The pointer of each string of a JSON text, in its order; None for a key."""
    found: list[str | None] = []

    def visit(value: Any, path: str) -> None:
        if isinstance(value, str):
            found.append(path)
        elif isinstance(value, dict):
            for key, item in value.items():
                found.append(None)
                visit(item, f"{path}/{escaped(key)}")
        elif isinstance(value, list):
            for number, item in enumerate(value):
                visit(item, f"{path}/{number}")

    visit(value, "")
    return found
