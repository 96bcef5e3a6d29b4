"""Speaks to models: wire formats, catalogue, replay.

Never decides whether a call may be made and never touches the workspace. It differs from the gateway
in that it makes calls; the gateway receives them.

Names are loaded when first asked for: a command that calls no model does not pay for those that do.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mohist.provider.answer import Answer
    from mohist.provider.anthropic_messages import AnthropicMessages
    from mohist.provider.dialogue import settled
    from mohist.provider.errors import ProviderError, RecordingError
    from mohist.provider.exchange import Price, closing
    from mohist.provider.message import (
        AssistantMessage,
        CallArguments,
        CallReady,
        CallStarted,
        Caps,
        Delta,
        Done,
        Failed,
        FailureKind,
        Message,
        Part,
        Provider,
        Request,
        StopReason,
        TextDelta,
        TextPart,
        ThinkingDelta,
        ThinkingPart,
        ToolCall,
        ToolMessage,
        ToolSpec,
        Usage,
        UserMessage,
    )
    from mohist.provider.openai_chat import OpenAIChat
    from mohist.provider.quirk import QUIRKS
    from mohist.provider.replay import Difference, Recorder, Replay
    from mohist.provider.secret import Secret
    from mohist.provider.substitution import VOLATILE, Substitution
    from mohist.provider.text_protocol import TextTools
    from mohist.provider.transport import Timeouts

_HOMES = {
    "answer": ("Answer",),
    "anthropic_messages": ("AnthropicMessages",),
    "dialogue": ("settled",),
    "errors": ("ProviderError", "RecordingError"),
    "exchange": ("Price", "closing"),
    "message": (
        "AssistantMessage",
        "CallArguments",
        "CallReady",
        "CallStarted",
        "Caps",
        "Delta",
        "Done",
        "Failed",
        "FailureKind",
        "Message",
        "Part",
        "Provider",
        "Request",
        "StopReason",
        "TextDelta",
        "TextPart",
        "ThinkingDelta",
        "ThinkingPart",
        "ToolCall",
        "ToolMessage",
        "ToolSpec",
        "Usage",
        "UserMessage",
    ),
    "openai_chat": ("OpenAIChat",),
    "quirk": ("QUIRKS",),
    "replay": ("Difference", "Recorder", "Replay"),
    "secret": ("Secret",),
    "substitution": ("VOLATILE", "Substitution"),
    "text_protocol": ("TextTools",),
    "transport": ("Timeouts",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "QUIRKS",
    "VOLATILE",
    "Answer",
    "AnthropicMessages",
    "AssistantMessage",
    "CallArguments",
    "CallReady",
    "CallStarted",
    "Caps",
    "Delta",
    "Difference",
    "Done",
    "Failed",
    "FailureKind",
    "Message",
    "OpenAIChat",
    "Part",
    "Price",
    "Provider",
    "ProviderError",
    "Recorder",
    "RecordingError",
    "Replay",
    "Request",
    "Secret",
    "StopReason",
    "Substitution",
    "TextDelta",
    "TextPart",
    "TextTools",
    "ThinkingDelta",
    "ThinkingPart",
    "Timeouts",
    "ToolCall",
    "ToolMessage",
    "ToolSpec",
    "Usage",
    "UserMessage",
    "closing",
    "settled",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
