"""What stands in and about a candidate as signs for a linear model: pieces of value, key and line, hashed into a table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from zlib import crc32

from mohist.guard.keyword.candidate import Candidate
from mohist.guard.keyword.context import Page
from mohist.guard.keyword.shape import shape

TABLE = 1 << 15
"""Weights in the model's table; signs that share one do so rarely enough."""
GROUPS = ("value", "key", "line", "near")
"""Each group's sum is a feature of its own."""
_VALUE_MAX_CHARS = 40
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+|[^\x00-\x7f]")
_WORDS = re.compile(r"[A-Za-z_]{2,24}|[^\sA-Za-z_0-9]")
_PREVIOUS_MAX_CHARS = 120


def _value(candidate: Candidate) -> Iterator[str]:
    value = candidate.value[:_VALUE_MAX_CHARS]
    form = shape(value)
    yield f"vs:{form[:10]}:{min(len(candidate.value), 48) // 4}"
    yield f"v:{value.lower()}"
    padded = f"^{value.lower()}$"
    for at in range(len(padded) - 2):
        yield f"3:{padded[at : at + 3]}"
    yield from (f"vw:{part.lower()}" for part in _PARTS.findall(value)[:8])


def _key(candidate: Candidate, page: Page) -> Iterator[str]:
    key = candidate.key[-48:]
    parts = [part.lower() for part in _PARTS.findall(key)]
    form = shape(candidate.value[:24])[:6]
    yield f"k:{key.lower()}"
    yield f"ko:{'_'.join(parts[-2:])}:{candidate.operator}:{candidate.quote[-1:]}"
    yield f"kt:{candidate.tail[:24].lower()}"
    for part in parts[-6:]:
        yield f"kp:{part}"
        yield f"ks:{part}:{form}"
    yield f"w:{candidate.wrap[-24:].lower()}"
    yield f"o:{candidate.operator}:{candidate.quote}:{page.text[candidate.end : candidate.end + 2]}"


def _line(candidate: Candidate, page: Page) -> Iterator[str]:
    text = page.text
    low = max(
        text.rfind("\n", max(candidate.key_start - 100, 0), candidate.key_start) + 1, candidate.key_start - 100, 0
    )
    before = _WORDS.findall(text[low : candidate.key_start].lower())
    yield from (f"b{at}:{word}" for at, word in enumerate(reversed(before[-4:])))
    yield from (f"bw:{word}" for word in before[-12:])
    stop = text.find("\n", candidate.end, candidate.end + 100)
    after = _WORDS.findall(text[candidate.end : stop if stop >= 0 else candidate.end + 100].lower())
    yield from (f"a{at}:{word}" for at, word in enumerate(after[:4]))
    yield from (f"aw:{word}" for word in after[:12])


def _near(candidate: Candidate, page: Page) -> Iterator[str]:
    text = page.text
    low = max(text.rfind("\n", max(candidate.key_start - 200, 0), candidate.key_start), 0)
    previous = _WORDS.findall(text[max(low - _PREVIOUS_MAX_CHARS, 0) : low].lower())
    yield from (f"p:{word}" for word in previous[-12:])
    high = text.find("\n", candidate.end, candidate.end + 200)
    following = _WORDS.findall(text[high : high + _PREVIOUS_MAX_CHARS].lower()) if high >= 0 else ()
    yield from (f"n:{word}" for word in following[:12])
    yield f"l:{page.features[0]}:{candidate.kind}"
    yield f"lo:{page.features[0]}:{candidate.operator}:{candidate.quote[-1:]}:{shape(candidate.value[:24])[:4]}"


def tokens(candidate: Candidate, page: Page) -> tuple[list[int], ...]:
    """By group, places in the table; a place may come more than once."""
    groups = (_value(candidate), _key(candidate, page), _line(candidate, page), _near(candidate, page))
    return tuple([[crc32(sign.encode("utf-8", "replace")) % TABLE for sign in signs] for signs in groups])
