"""Puts placeholders in the place of what was found in a request, everywhere that it stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from mohist.gateway.screen.invisible import plain
from mohist.gateway.screen.judge import Judged
from mohist.guard import Block, Request, Source
from mohist.guard.placeholder import WORD, Placeholders
from mohist.guard.request import INSIDE

HINT: Final = (
    "\n\n[Words like DLPx0123456789ab (DLPx and 12 hex digits) stand for values that this company's guard withholds from "
    "you. Use each exactly as it is, as if it were the value: it is put back in what you write into files and in what the "
    "user sees. It is not put back in commands, web addresses, commit messages or other tools' arguments; there, let the "
    "command read the value from where it is kept.]"
)
"""Told to the model once, behind the first text that holds a placeholder: the same in each request of a conversation."""

_HINTED: Final[frozenset[Source]] = frozenset({"system", "user", "tool_result", "web", "mcp", "file"})
_DIGIT: Final = re.compile(r"\d")
_HIDDEN: Final = "covert"
_MIN_REPEATED_CHARS: Final = 8
"""A shorter value is replaced where it was found and nowhere else."""
_CERTAIN_CHARS: Final = 12
"""A value of so many characters with a digit in it is itself inside a longer word, too."""

_NOT_IN_ADDRESS: Final = re.compile(r"[\s<>\"'`|\\]")
_SCHEME: Final = re.compile(r"(?i)[a-z][a-z0-9+.-]{0,30}://")
_ADDRESS_REST: Final = re.compile(r"[^\s<>\"'`|\\)\]}]*")
_ADDRESS_CHARS: Final = 2_048
_FIXED_FIELDS: Final = frozenset({"model", "id", "call_id", "tool_use_id", "tool_call_id", "previous_response_id"})
_SEALED_FIELDS: Final = frozenset({"thinking", "signature", "encrypted_content", "thought_signature"})


class _Span(NamedTuple):
    start: int
    end: int
    data_class: str


def is_sealed(block: Block) -> bool:
    """Whether it is the model's own reasoning, which its vendor wrote and signed."""
    return block.source == "assistant" and (
        block.path.rpartition("/")[2] in _SEALED_FIELDS or "/summary/" in block.path
    )


def can_mask(request: Request, index: int) -> bool:
    """Whether another text may stand in the place of a block."""
    block = request.blocks[index]
    return (
        request.can_change(index)
        and not is_sealed(block)
        and (INSIDE in block.path or block.path.rpartition("/")[2] not in _FIXED_FIELDS)
    )


def masked(
    request: Request, judged: Iterable[Judged], placeholders: Placeholders, absences: Absences, *, hint: bool
) -> dict[int, str]:
    """The texts to be sent in the place of others, by the index of their blocks.

    Args:
        request: the call.
        judged: what is to be masked, all of it where `can_mask`.
        placeholders: of the conversation; learns the new ones.
        absences: kept from call to call.
        hint: tells the model what the words are.

    Raises:
        GuardError: there is no free placeholder.
    """
    spans: dict[int, list[_Span]] = {}
    values: dict[str, str] = {}
    for one in judged:
        finding = one.finding
        spans.setdefault(one.index, []).append(_Span(finding.start, finding.end, finding.data_class))
        value = one.block.text[finding.start : finding.end]
        if len(value) >= _MIN_REPEATED_CHARS and not finding.data_class.startswith(_HIDDEN):
            values.setdefault(value, finding.data_class)
    if values:
        _add_repeated(request, spans, values, absences)
    changes = {}
    for index, found in sorted(spans.items()):
        text = request.blocks[index].text
        new = _with_placeholders(text, _merged(text, found), placeholders)
        if new != text:
            changes[index] = new
    if hint:
        _add_hint(request, changes)
    return changes


def _with_placeholders(text: str, spans: Iterable[_Span], placeholders: Placeholders) -> str:
    pieces, at = [], 0
    for span in spans:
        value = text[span.start : span.end]
        hidden = span.data_class.startswith(_HIDDEN)
        pieces += [text[at : span.start], plain(value) if hidden else placeholders.of(span.data_class, value)]
        at = span.end
    return "".join([*pieces, text[at:]])


def _add_repeated(
    request: Request, spans: dict[int, list[_Span]], values: Mapping[str, str], absences: Absences
) -> None:
    """The same values wherever else they stand."""
    hashes = {hash(value): value for value in values}
    for index, block in enumerate(request.blocks):
        text = block.text
        known = absences.of(text)
        if hashes.keys() <= known:
            continue
        asked = [(number, value) for number, value in hashes.items() if number not in known]
        held = [value for _, value in asked if value in text]
        if len(held) < len(asked):
            absences.learn(text, known, [number for number, value in asked if value not in held])
        if held and can_mask(request, index):
            repeated = [_Span(*place, values[value]) for value in held for place in _places(text, value)]
            if repeated:
                spans.setdefault(index, []).extend(repeated)


def _places(text: str, value: str) -> Iterator[tuple[int, int]]:
    """Where a value stands; one that is a plain word only where it stands alone."""
    inside = len(value) >= _CERTAIN_CHARS and _DIGIT.search(value) is not None
    start = text.find(value)
    while start >= 0:
        end = start + len(value)
        if inside or not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum()):
            yield start, end
            start = text.find(value, end)
        else:
            start = text.find(value, start + 1)


def _merged(text: str, spans: Sequence[_Span]) -> list[_Span]:
    """Spans that don't touch; of those that overlap one is made, of the class of the longest."""
    out: list[_Span] = []
    for span in sorted(_whole_address(text, span) for span in spans):
        if out and span.start < out[-1].end:
            last = out[-1]
            wider = max(last, span, key=lambda one: (not one.data_class.startswith(_HIDDEN), one.end - one.start))
            out[-1] = _Span(last.start, max(last.end, span.end), wider.data_class)
        elif span.end > span.start:
            out.append(span)
    return out


def _whole_address(text: str, span: _Span) -> _Span:
    """A secret in an address takes the address along: nothing is put back within one."""
    if not span.data_class.startswith("secret"):
        return span
    first = max(0, span.start - _ADDRESS_CHARS)
    if text.find("://", first, span.end) < 0:
        return span
    tail = _NOT_IN_ADDRESS.split(text[first : span.start])[-1]
    before = _SCHEME.search(tail)
    if before is None and _SCHEME.match(text, span.start) is None:
        return span
    rest = _ADDRESS_REST.match(text, span.end)
    end = rest.end() if rest else span.end
    while end > span.end and text[end - 1] in ".,;:!?":
        end -= 1
    return _Span(span.start - len(tail) + before.start() if before else span.start, end, span.data_class)


_NOTHING: Final[frozenset[int]] = frozenset()
_MAX_ABSENT: Final = 256


class Absences:
    """Which texts are known not to hold which values: history is sent again with every request.

    Of both only hashes are kept, which are of no use outside this process. May be used from several threads.
    """

    def __init__(self, max_texts: int = 50_000) -> None:
        self._max_texts = max_texts
        self._known: dict[tuple[int, int], frozenset[int]] = {}

    def of(self, text: str) -> frozenset[int]:
        """Hashes of values that do not stand in a text, as far as was learnt."""
        return self._known.get((hash(text), len(text)), _NOTHING)

    def learn(self, text: str, known: frozenset[int], values: Iterable[int]) -> None:
        """None of these values, by their hashes, stands in the text, nor any of those that were known."""
        if len(self._known) >= self._max_texts:
            self._known = {}
        joined = known.union(values)
        self._known[hash(text), len(text)] = joined if len(joined) <= _MAX_ABSENT else frozenset(values)


def _add_hint(request: Request, changes: dict[int, str]) -> None:
    for index in sorted(changes):
        block = request.blocks[index]
        if block.source in _HINTED and INSIDE not in block.path and WORD.search(changes[index]):
            changes[index] += HINT
            return
