"""What an upstream can do, from the catalogue and from `routes.toml`: how calls are translated for it."""

from __future__ import annotations

from dataclasses import replace

from pydantic import BaseModel, ConfigDict

from mohist.gateway.call import Dialect
from mohist.gateway.translate import Effort, Options, ThinkingStyle
from mohist.provider.catalogue import ModelEntry, ProviderEntry
from mohist.provider.message import Caps

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
    family = provider.like or provider.name
    caps = model.caps if model is not None else Caps(keep_thinking=provider.keep_thinking, quirks=provider.quirks)
    thinks = model is None or model.thinking != "none"
    found = Options.of(dialect, caps)
    return replace(
        found,
        max_output_tokens=found.max_output_tokens if model is not None else 0,
        # https://api-docs.deepseek.com/guides/thinking_mode: there a tool turn without it is a 400.
        reasoning_required=found.reasoning_required and family == "deepseek",
        thinking=(found.thinking or _style(dialect, family)) if thinks else "none",
        efforts=_OPENAI_EFFORTS if family == "openai" else found.efforts,
        # https://platform.openai.com/docs/guides/latest-model: reasoning models refuse them.
        sampling=not (family == "openai" and thinks),
    )


def _style(dialect: Dialect, family: str) -> ThinkingStyle:
    """How a family is told to think, where no quirk says it."""
    if dialect == "anthropic-messages":
        return "budget"
    if dialect == "openai-chat" and family in _THINKING_TYPE:
        return "thinking_type"
    return "effort" if family == "openai" else ""
