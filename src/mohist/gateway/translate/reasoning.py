"""Reasoning on its way through a client of another dialect, and how much of it is asked for.

What a model thought goes back to its maker alone. A client of another dialect carries it where its own dialect keeps
such things (`signature`, `encrypted_content`), as `mohist1.` and base64url of JSON. It is neither secret nor signed: who
changes it gets the maker's own refusal.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from mohist.gateway.call import Dialect
from mohist.gateway.request import REASONING_PREFIX
from mohist.gateway.translate.form import Effort, Reasoning, Thinking

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
    return REASONING_PREFIX + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def unwrap(carried: str, text: str = "") -> Thinking | None:
    """What `wrap` made; None when it isn't ours. One that a client has damaged holds its text alone.

    Args:
        carried: signature or encrypted content as the client handed it back.
        text: the text that stood beside it; one within wins.
    """
    if not carried.startswith(REASONING_PREFIX):
        return None
    encoded = carried.removeprefix(REASONING_PREFIX)
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


def without_foreign(body: Mapping[str, Any], dialect: Dialect) -> dict[str, Any] | None:
    """A request that stays in its dialect, without reasoning that another maker's model left in the client.

    A session that was answered by a translated upstream and goes on with one of the client's own dialect carries
    such reasoning, and the upstream would refuse its signature.

    Args:
        body: the client's JSON; not changed.
        dialect: the client's and the upstream's.

    Returns:
        The body without it; None when it holds none. Look for `REASONING_PREFIX` in the bytes first.
    """
    field = "input" if dialect == "openai-responses" else "messages"
    items = body.get(field)
    if not isinstance(items, list):
        return None
    kept = [one for item in items if (one := _unburdened(item)) is not None]
    if len(kept) == len(items) and all(one is item for one, item in zip(kept, items, strict=True)):
        return None
    return {**body, field: kept}


def _unburdened(item: Any) -> Any:
    """A message or item without foreign reasoning: itself when it has none, None when it is nothing else."""
    if not isinstance(item, dict):
        return item
    if _is_foreign(item):
        return None
    content = item.get("content")
    if not isinstance(content, list):
        return item
    kept = [block for block in content if not (isinstance(block, dict) and _is_foreign(block))]
    if len(kept) == len(content):
        return item
    return {**item, "content": kept} if kept else None


def _is_foreign(block: Mapping[str, Any]) -> bool:
    carrier = {"thinking": "signature", "redacted_thinking": "data", "reasoning": "encrypted_content"}
    kind = block.get("type")
    carried = block.get(carrier[kind]) if isinstance(kind, str) and kind in carrier else None
    return isinstance(carried, str) and carried.startswith(REASONING_PREFIX)
