"""What an upstream can do, from the catalogue and from `routes.toml`: how calls are translated for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict

from mohist.gateway.call import Dialect
from mohist.gateway.translate import Effort, Options, ThinkingStyle
from mohist.provider import quirk
from mohist.provider.catalogue import ModelEntry, ProviderEntry

# Families whose chat endpoint is told to think by `thinking: {type}`; their pages are in the catalogue.
_THINKING_TYPE = frozenset({"deepseek", "kimi", "glm", "doubao"})
# https://platform.openai.com/docs/guides/reasoning
_OPENAI_EFFORTS: tuple[Effort, ...] = ("none", "low", "medium", "high", "xhigh")


class Ability(BaseModel):
    """`[routes.upstreams.can]`: what the catalogue doesn't know, or knows wrong; all of it may be left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    max_output_tokens: int | None = None
    images: bool | None = None
    documents: bool | None = None
    thinking: ThinkingStyle | None = None
    efforts: tuple[Effort, ...] | None = None
    sampling: bool | None = None
    leave_out: frozenset[str] | None = None


def options(dialect: Dialect, provider: ProviderEntry | None, model: ModelEntry | None, stated: Ability) -> Options:
    """The abilities of one upstream.

    Args:
        dialect: its own.
        provider: who serves it; None: a server of one's own.
        model: what it serves, where that is one model of the catalogue.
        stated: what the route says of it, which wins.
    """
    found = _known(dialect, provider, model) if provider is not None else Options()
    return replace(found, **{name: value for name, value in stated if value is not None})


def _known(dialect: Dialect, provider: ProviderEntry, model: ModelEntry | None) -> Options:
    quirks = model.caps.quirks if model is not None else provider.quirks
    keeps = model.caps.keep_thinking if model is not None else provider.keep_thinking
    thinks = model is None or model.thinking != "none"
    family = provider.like or provider.name
    own: Literal["reasoning", "reasoning_content"] = (
        "reasoning" if quirk.REASONING_FIELD in quirks else "reasoning_content"
    )
    return Options(
        max_output_tokens=model.caps.output_tokens if model is not None else 0,
        limit_field=(
            ""
            if quirk.NO_MAX_TOKENS in quirks
            else "max_completion_tokens"
            if quirk.MAX_COMPLETION_TOKENS in quirks
            else "max_tokens"
        ),
        stream_options=quirk.NO_STREAM_OPTIONS not in quirks,
        empty_content=quirk.EMPTY_CONTENT in quirks,
        reasoning_field=own if keeps and dialect == "openai-chat" else "",
        # https://api-docs.deepseek.com/guides/thinking_mode: a tool turn without it is a 400.
        reasoning_required=family == "deepseek" and keeps and dialect == "openai-chat",
        thinking=_style(dialect, family, quirks) if thinks else "none",
        efforts=_OPENAI_EFFORTS if family == "openai" else Options().efforts,
        # https://platform.openai.com/docs/guides/latest-model: reasoning models refuse them.
        sampling=not (family == "openai" and thinks),
    )


def _style(dialect: Dialect, family: str, quirks: frozenset[str]) -> ThinkingStyle:
    if dialect == "anthropic-messages":
        return "adaptive" if quirk.THINKING_ADAPTIVE in quirks else "budget"
    if quirks & {quirk.ENABLE_THINKING, quirk.DISABLE_THINKING}:
        return "enable_thinking"
    if family in _THINKING_TYPE:
        return "thinking_type"
    return "effort" if family == "openai" else "none"
