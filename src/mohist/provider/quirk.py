"""Names of the ways endpoints differ inside one dialect; `Caps.quirks` holds them.

A quirk is data of the catalogue: an adapter looks for the name and changes the body, nothing else does.
"""

from __future__ import annotations

from typing import Final

MAX_COMPLETION_TOKENS: Final = "max_completion_tokens"
"""OpenAI: the output cap goes by this name (https://platform.openai.com/docs/api-reference/chat/create)."""

NO_MAX_TOKENS: Final = "no_max_tokens"
"""OpenAI dialect: send no output cap at all."""

NO_STREAM_OPTIONS: Final = "no_stream_options"
"""OpenAI dialect: the endpoint refuses `stream_options`; usage comes by itself or not at all."""

ALTERNATE_ROLES: Final = "alternate_roles"
"""OpenAI dialect: user messages in a row are merged (chat templates of some local models demand it)."""

EMPTY_CONTENT: Final = "empty_content"
"""OpenAI dialect: an assistant message that only calls tools has content "" and not null."""

PROMPT_CACHE_KEY: Final = "prompt_cache_key"
"""OpenAI, Kimi: the session id is sent so that a run's calls meet the same cache."""

THINKING_DISABLED: Final = "thinking_disabled"
"""DeepSeek, Kimi, GLM, Doubao, Anthropic: `thinking: {type: disabled}`."""

THINKING_ENABLED: Final = "thinking_enabled"
"""The same, `enabled`."""

THINKING_ADAPTIVE: Final = "thinking_adaptive"
"""Anthropic: `thinking: {type: adaptive}`, the model decides how long to think."""

ENABLE_THINKING: Final = "enable_thinking"
"""Qwen (DashScope): `enable_thinking: true`."""

DISABLE_THINKING: Final = "disable_thinking"
"""Qwen (DashScope): `enable_thinking: false`."""

REASONING_FIELD: Final = "reasoning_field"
"""OpenAI dialect: reasoning is handed back as `reasoning` (vLLM, OpenRouter), not as `reasoning_content`."""

UNSIGNED_THINKING: Final = "unsigned_thinking"
"""Anthropic dialect: thinking without a signature is handed back too (servers that sign nothing)."""

BEARER: Final = "bearer"
"""Anthropic dialect: the key goes as `authorization: Bearer`, not as `x-api-key`."""

QUIRKS: Final = frozenset(
    {
        MAX_COMPLETION_TOKENS,
        NO_MAX_TOKENS,
        NO_STREAM_OPTIONS,
        ALTERNATE_ROLES,
        EMPTY_CONTENT,
        PROMPT_CACHE_KEY,
        THINKING_DISABLED,
        THINKING_ENABLED,
        THINKING_ADAPTIVE,
        ENABLE_THINKING,
        DISABLE_THINKING,
        REASONING_FIELD,
        UNSIGNED_THINKING,
        BEARER,
    }
)
"""All names that an adapter knows; a catalogue row with another one is an error."""
