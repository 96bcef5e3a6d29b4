"""Reasoning on its way through a client of another dialect, and how much of it is asked for.

What a model thought goes back to its maker alone. A client of another dialect carries it where its own dialect keeps
such things (`signature`, `encrypted_content`), as `mohist1.` and base64url of JSON. It is neither secret nor signed: who
changes it gets the maker's own refusal.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence

from mohist.gateway.translate.form import Effort, Reasoning, Thinking

PREFIX = "mohist1."

_MAKERS = frozenset({"openai-chat", "openai-responses", "anthropic-messages"})

BUDGETS: dict[Effort, int] = {
    "none": 0,
    "minimal": 1024,
    "low": 4096,
    "medium": 10_240,
    "high": 24_576,
    "xhigh": 32_768,
    "max": 65_536,
}
"""Effort -> tokens to think, where an upstream takes tokens. Our choice; 1,024 is the least Anthropic takes
(https://docs.claude.com/en/docs/build-with-claude/extended-thinking)."""

MIN_BUDGET_TOKENS = 1024

EFFORTS: tuple[Effort, ...] = tuple(BUDGETS)
"""Least first."""


def effort_of(reasoning: Reasoning) -> Effort | None:
    """How much is to be thought, in words; None: as the model likes.

    Of a budget: the largest effort that is not over it.
    """
    if reasoning.effort is not None:
        return reasoning.effort
    if reasoning.budget_tokens is None:
        return None
    within: list[Effort] = [effort for effort, tokens in BUDGETS.items() if 0 < tokens <= reasoning.budget_tokens]
    return within[-1] if within else "minimal"


def budget_of(reasoning: Reasoning) -> int | None:
    """The same in tokens; None: as the model likes."""
    if reasoning.budget_tokens is not None and reasoning.effort != "none":
        return reasoning.budget_tokens
    return None if reasoning.effort is None else BUDGETS[reasoning.effort]


def nearest(effort: Effort, known: Sequence[Effort]) -> Effort:
    """The known effort that is nearest, the lesser of two."""
    order = EFFORTS.index(effort)
    return min(known, key=lambda one: (abs(EFFORTS.index(one) - order), EFFORTS.index(one)))


def wrap(thinking: Thinking, *, with_text: bool = False) -> str:
    """The opaque form for a client whose dialect isn't the maker's.

    Args:
        thinking: what the upstream said; its `maker` is the upstream's dialect.
        with_text: also carry the text, for a client that isn't shown it.
    """
    value: dict[str, object] = {"maker": thinking.maker}
    if thinking.opaque:
        value["opaque"] = thinking.opaque
    if thinking.redacted:
        value["redacted"] = True
    if thinking.item_id:
        value["id"] = thinking.item_id
    if with_text and thinking.text:
        value["text"] = thinking.text
    raw = json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
    return PREFIX + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def unwrap(carried: str, text: str = "") -> Thinking | None:
    """What `wrap` made; None when it isn't ours. One that a client has damaged holds its text alone.

    Args:
        carried: signature or encrypted content as the client handed it back.
        text: the text that stood beside it; one within wins.
    """
    if not carried.startswith(PREFIX):
        return None
    encoded = carried.removeprefix(PREFIX)
    try:
        value = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return Thinking(text)
    if not isinstance(value, dict) or value.get("maker") not in _MAKERS:
        return Thinking(text)
    opaque, item_id, own = value.get("opaque", ""), value.get("id", ""), value.get("text", text)
    if not isinstance(opaque, str) or not isinstance(item_id, str) or not isinstance(own, str):
        return Thinking(text)
    return Thinking(own, opaque, value["maker"], value.get("redacted") is True, item_id)
