"""The one way long output reaches the model: head and tail within a budget, the whole of it put aside."""

from __future__ import annotations

from dataclasses import dataclass

from mohist.agent.tool.errors import ToolError
from mohist.agent.tool.spec import ToolLimits, tokens_of
from mohist.agent.tool.spill import Spill, SpillStore

BYTES_PER_TOKEN = 4
"""As `tokens_of` reckons."""


@dataclass(frozen=True, slots=True)
class Gated:
    """What the model is shown, never more than the budget."""

    text: str
    spill: Spill | None = None
    """Where all of it is, when `text` is not all."""

    @property
    def spilled(self) -> tuple[str, ...]:
        return (self.spill.name,) if self.spill else ()


def gate(
    text: str,
    spill: SpillStore,
    limits: ToolLimits,
    *,
    kind: str = "output",
    tokens: int | None = None,
    raw: bytes | None = None,
) -> Gated:
    """`text` when it fits, else its head and tail around a line that says what was left out and where it is.

    Args:
        kind: what the spill is named after.
        tokens: budget; `limits.output_tokens` when None.
        raw: what is stored instead of `text` encoded, when the bytes are at hand.
    """
    budget = limits.output_tokens if tokens is None else tokens
    if tokens_of(text) <= budget and text.count("\n") <= limits.read_lines:
        return Gated(text)
    try:
        kept = spill.put(text.encode("utf-8", "backslashreplace") if raw is None else raw, kind)
    except ToolError as error:
        # The disk is full, say: what was done is still told, only shorter.
        return Gated(clip(text, error.what, budget, limits.read_lines))
    return Gated(clip(text, kept, budget, limits.read_lines), kept)


def clip(text: str, kept: Spill | str, tokens: int, lines: int) -> str:
    """Head and tail of `text` and the notice between, at most `tokens` and about `lines` long.

    `kept`: where all of it is, or why it is nowhere.
    """
    rows = text.split("\n")
    total = len(rows) - (rows[-1] == "")
    room = tokens * BYTES_PER_TOKEN - _size(_notice(total, total, total, kept)) - 2
    if room < 0:
        return _head(kept if isinstance(kept, str) else kept.address, tokens * BYTES_PER_TOKEN)
    head = _head_rows(rows, room // 2, lines // 2)
    head_text = "\n".join(rows[:head]) if head else _head(rows[0], room // 2)
    left = room - _size(head_text)
    tail = _head_rows(rows[head:][::-1], left, lines // 2)
    tail_text = "\n".join(rows[len(rows) - tail :]) if tail else _tail(rows[-1] if len(rows) > 1 else rows[0], left)
    notice = _notice(head + 1, max(head + 1, min(total, len(rows) - tail)), total, kept)
    return f"{head_text}\n{notice}\n{tail_text}"


def _notice(first: int, last: int, total: int, kept: Spill | str) -> str:
    if isinstance(kept, str):
        return f"[lines {first}-{last} of {total} left out. {kept}]"
    return (
        f"[lines {first}-{last} of {total} left out; all {kept.size_bytes} bytes, sha256 {kept.sha256[:16]}, "
        f"are in {kept.address}: read it by offset, or search it]"
    )


def _head_rows(rows: list[str], room: int, most: int) -> int:
    """How many first rows fit."""
    for count, row in enumerate(rows[:most]):
        room -= _size(row) + 1
        if room < 0:
            return count
    return min(most, len(rows))


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _head(text: str, room: int) -> str:
    return text[:room].encode("utf-8", "surrogatepass")[:room].decode("utf-8", "ignore")


def _tail(text: str, room: int) -> str:
    if room <= 0:
        return ""
    return text[-room:].encode("utf-8", "surrogatepass")[-room:].decode("utf-8", "ignore")
