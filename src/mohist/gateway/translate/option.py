"""What an upstream can do, as far as a translated request depends on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mohist.gateway.call import Dialect
from mohist.gateway.translate.form import Effort
from mohist.provider import quirk
from mohist.provider.message import Caps

ThinkingStyle = Literal["", "none", "effort", "enable_thinking", "thinking_type", "budget", "adaptive"]


@dataclass(frozen=True, slots=True)
class Options:
    """Abilities of one upstream. The defaults fit one of which nothing is known."""

    max_output_tokens: int = 0
    """The most it writes; larger limits are lowered to it. 0: not known, and Anthropic's required limit is 8,192."""
    images: bool = True
    documents: bool = True
    """PDF and the like. Plain text goes as text anywhere."""
    limit_field: Literal["max_tokens", "max_completion_tokens", ""] = "max_tokens"
    """Chat: what the limit is called; empty: it takes none."""
    reasoning_field: Literal["", "reasoning_content", "reasoning"] = ""
    """Chat: where it wants its reasoning handed back; empty: nowhere."""
    empty_content: bool = False
    """Chat: a message that only calls tools has the content "" and not null."""
    reasoning_required: bool = False
    """Chat: messages that call tools are refused without that field, so an empty one is sent."""
    thinking: ThinkingStyle = ""
    """How it is told to think.

    | style | dialects | said as |
    |---|---|---|
    | `none` | all | nothing: it thinks as it likes |
    | `effort` | Chat, Responses | `reasoning_effort`, `reasoning.effort` |
    | `enable_thinking` | Chat (Qwen) | `enable_thinking`, `thinking_budget` |
    | `thinking_type` | Chat (DeepSeek, GLM, Kimi) | `thinking: {type}` |
    | `budget` | Anthropic | `thinking: {type: enabled, budget_tokens}` |
    | `adaptive` | Anthropic | `thinking: {type: adaptive}`, `output_config.effort` |

    Empty: `effort` for Responses, otherwise `none`.
    """
    efforts: tuple[Effort, ...] = ("low", "medium", "high")
    """Those it knows, least first; others become the nearest."""
    sampling: bool = True
    """False: it refuses temperature, top_p and top_k, as many reasoning models do; they are left out."""
    top_k: bool = False
    """Chat: it takes `top_k` (vLLM, Qwen)."""
    late_system: Literal["", "system", "user"] = ""
    """System messages within the conversation go by this role; as `user` between tags. Empty: `user` for Anthropic."""
    stream_options: bool = True
    """Chat: it can be asked for the usage of a stream."""
    cache_key: str = ""
    """Sent as `prompt_cache_key` to OpenAI dialects, so that a session meets the same cache; empty: not sent."""
    by_session: bool = False
    """It routes its cache by that key: each call gets its session's."""
    leave_out: frozenset[str] = frozenset()
    """Types of hosted tools that are left out instead of refused, e.g. `web_search`."""

    @classmethod
    def of(cls, dialect: Dialect, caps: Caps, *, leave_out: frozenset[str] = frozenset()) -> Options:
        """What the catalogue knows of an upstream's model.

        Args:
            dialect: the upstream's.
            caps: of the model at its endpoint.
            leave_out: types of hosted tools that the route leaves out.
        """
        quirks = caps.quirks
        limit: Literal["max_tokens", "max_completion_tokens", ""] = "max_tokens"
        if quirk.NO_MAX_TOKENS in quirks:
            limit = ""
        elif quirk.MAX_COMPLETION_TOKENS in quirks:
            limit = "max_completion_tokens"
        thought: Literal["", "reasoning_content", "reasoning"] = ""
        if caps.keep_thinking:
            thought = "reasoning" if quirk.REASONING_FIELD in quirks else "reasoning_content"
        return cls(
            max_output_tokens=caps.output_tokens,
            limit_field=limit,
            reasoning_field=thought,
            reasoning_required=caps.keep_thinking,
            empty_content=quirk.EMPTY_CONTENT in quirks,
            thinking=_style(dialect, quirks),
            stream_options=quirk.NO_STREAM_OPTIONS not in quirks,
            by_session=quirk.PROMPT_CACHE_KEY in quirks or dialect == "openai-responses",
            leave_out=leave_out,
        )


def _style(dialect: Dialect, quirks: frozenset[str]) -> ThinkingStyle:
    if dialect == "anthropic-messages":
        return "adaptive" if quirk.THINKING_ADAPTIVE in quirks else ""
    if dialect == "openai-chat":
        if quirks & {quirk.ENABLE_THINKING, quirk.DISABLE_THINKING}:
            return "enable_thinking"
        if quirks & {quirk.THINKING_ENABLED, quirk.THINKING_DISABLED}:
            return "thinking_type"
    return ""
