"""The model: it has no mind of its own, and does one thing after the other."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from order import Step

from fakes.upstream import Received, Reply, chat_wire, error_reply

REQUESTS = 300
"""More than a run makes."""


@dataclass
class Script:
    """The scripted model: one call an answer, whoever asks; plain words only where a sub-agent asks, whom they would end."""

    steps: list[tuple[str, Step]]
    """With the mark of the order each belongs to."""
    last: str
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Mark and id of each call."""

    def __call__(self, request: Received) -> Reply:
        """The next answer; the last words once all is done."""
        if request.method != "POST":
            return error_reply(404, "scripted", "there is nothing but the model")
        for_child = "You are a sub-agent" in str(request.json["messages"][0]["content"])
        while self.steps:
            mark, (tool, arguments) = self.steps.pop(0)
            if tool != "says":
                call_id = f"call_{mark}_{len(self.asked)}"
                self.asked.append((mark, call_id))
                return Reply(chat_wire("", [(call_id, tool, json.dumps(arguments))]))
            if for_child:
                return Reply(chat_wire(arguments["text"]))
        return Reply(chat_wire(self.last))
