"""Records of every kind, for properties."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from mohist.agent import record as records
from mohist.agent.record import Record
from mohist.provider import message

# Lone surrogates, NUL, U+2028 and line ends included.
TEXT = st.text(st.characters(codec=None), max_size=20) | st.sampled_from(["\u2028\0\ud800\n\r\x85", ""])
JSON = st.recursive(st.none() | st.booleans() | st.integers(-5, 5) | TEXT, lambda inner: st.lists(inner, max_size=2))


def of(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a type as the records use it."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is tuple:
        return st.lists(of(args[0]), max_size=3).map(tuple)
    if origin is Mapping:
        return st.dictionaries(TEXT, JSON, max_size=3)
    if hint is str:
        return TEXT
    if hint is bool:
        return st.booleans()
    if hint is int:
        return st.integers(0, 2**70)
    if hint is type(None):
        return st.none()
    if dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint, vars(message) | vars(records) | {"Any": Any, "Mapping": Mapping})
        return st.builds(hint, **{name: of(kind) for name, kind in hints.items()})  # type: ignore[arg-type]
    if args and all(isinstance(arg, str) for arg in args):
        return st.sampled_from(args)
    return st.one_of([of(arg) for arg in args])


RECORDS = st.one_of([of(cls) for cls in get_args(Record)])
