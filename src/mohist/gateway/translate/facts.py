"""What an answer's writer needs to know of the call that it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mohist.gateway.call import Dialect
from mohist.gateway.translate.form import Ask, Call
from mohist.gateway.translate.name import Names


@dataclass(frozen=True, slots=True)
class AskFacts:
    """The call as far as its answer depends on it."""

    model: str
    """As the client calls it."""
    call_id: str
    """Letters and digits, different in each call; the answer's own ids are made of it."""
    created_at_s: int = 0
    """Unix time."""
    names: Names = field(default_factory=Names)
    """The tools' names, there and back."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """The client's request; a Responses object repeats parts of it."""
    usage_asked: bool = False
    """Chat: the stream ends with a chunk of usage."""
    used_ids: frozenset[str] = frozenset()
    """Ids of the calls so far; no new one may have one of these."""
    hide_thinking: bool = False
    """The client wants no reasoning, and nothing needs it handed back."""

    @classmethod
    def of(
        cls, client: Dialect, body: Mapping[str, Any], ask: Ask, names: Names, *, call_id: str, created_at_s: int
    ) -> AskFacts:
        """From the client's request.

        Args:
            client: the client's dialect.
            body: the request as it came.
            ask: the request as it was read.
            names: as used for the upstream's request.
            call_id: letters and digits, different in each call.
            created_at_s: Unix time.
        """
        options = body.get("stream_options")
        thinking = body.get("thinking")
        asked_to_think = isinstance(thinking, Mapping) and thinking.get("type") != "disabled"
        return cls(
            model=ask.model,
            call_id=call_id,
            created_at_s=created_at_s,
            names=names,
            body=body,
            usage_asked=isinstance(options, Mapping) and options.get("include_usage") is True,
            used_ids=frozenset(part.id for turn in ask.turns for part in turn.parts if isinstance(part, Call)),
            # Many small programs read `content[0].text`; Anthropic sends thinking only to who asked. In a conversation
            # with tools it goes all the same: several upstreams refuse a tool turn that comes back without it.
            hide_thinking=client == "anthropic-messages" and not asked_to_think and not ask.tools,
        )
