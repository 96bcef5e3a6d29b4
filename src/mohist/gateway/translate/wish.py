"""What writers share: limits and wishes, lowered to what the upstream takes and told of where they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from mohist.gateway.request import bad_request
from mohist.gateway.translate.field import UnsayableError
from mohist.gateway.translate.form import Ask, Choice, Document, Effort, Image, Part, Reasoning, Result, Text, Tool
from mohist.gateway.translate.media import plain_text
from mohist.gateway.translate.name import INPUT_PROPERTY
from mohist.gateway.translate.option import Options
from mohist.gateway.translate.reasoning import effort_of, nearest

BETWEEN = "\n\n"
"""Stands between texts that become one."""

LATE_SYSTEM = "<system-reminder>\n{}\n</system-reminder>"
"""A system message within the conversation, where it has to go as the user's."""

Omitted = dict[str, None]
"""What was left out, in order; a set that keeps it."""


def joined(texts: Iterable[Text]) -> str:
    """Texts as one; those that say nothing are left out."""
    return BETWEEN.join(text.text for text in texts if text.text.strip())


def output_limit(ask: Ask, options: Options, omitted: Omitted) -> int | None:
    """The most to be written, lowered to what the model can."""
    limit = ask.max_output_tokens
    if limit is not None and 0 < options.max_output_tokens < limit:
        omitted[f"max_tokens ({options.max_output_tokens} instead of {limit})"] = None
        return options.max_output_tokens
    return limit


def sampling(ask: Ask, options: Options, omitted: Omitted) -> dict[str, float | int]:
    """Temperature, top_p and top_k, of an upstream that takes them."""
    asked: dict[str, float | int | None] = {"temperature": ask.temperature, "top_p": ask.top_p, "top_k": ask.top_k}
    given = {name: value for name, value in asked.items() if value is not None}
    if options.sampling:
        return given
    omitted.update(dict.fromkeys(given))
    return {}


def effort(reasoning: Reasoning, options: Options, omitted: Omitted) -> Effort | None:
    """The effort that is nearest to what is asked for."""
    wanted = effort_of(reasoning)
    if wanted is None or not options.efforts:
        return None
    known = nearest(wanted, options.efforts)
    if known != wanted:
        omitted[f"reasoning effort ({known} instead of {wanted})"] = None
    return known


def refuse_penalties(ask: Ask, target: str) -> None:
    """Penalties for words said before, which only Chat knows."""
    for name, value in (("presence_penalty", ask.presence_penalty), ("frequency_penalty", ask.frequency_penalty)):
        if value:
            raise UnsayableError(name, target, "Leave it out.")


def system_tagged(parts: Iterable[Part]) -> Text:
    """A system message within the conversation as the user's text."""
    return Text(LATE_SYSTEM.format(joined(part for part in parts if isinstance(part, Text))))


def tell_marks(ask: Ask, omitted: Omitted) -> None:
    """Says that cache marks are left out: other dialects cache by themselves."""
    parts = [part for turn in ask.turns for part in turn.parts]
    inner = [one for part in parts if isinstance(part, Result) for one in part.parts]
    if any(getattr(thing, "mark", None) for thing in (*ask.system, *ask.tools, *parts, *inner)):
        omitted["cache_control"] = None


def check_media(part: Image | Document, options: Options) -> None:
    """Refuses what the model can't see.

    Raises:
        RefusedError: an image or file, and the model takes text alone.
    """
    if isinstance(part, Image) and not options.images:
        raise bad_request("The request holds an image, and the model sees none. Send text, or ask for one that does.")
    if isinstance(part, Document) and not options.documents and plain_text(part) is None:
        raise bad_request(
            "The request holds a file, and the model reads none. Send its text, or ask for one that does."
        )


def description(tool: Tool) -> str:
    """What a tool is for, with what a flat function can't say otherwise: its namespace's words and its grammar."""
    parts = [tool.namespace_description, tool.description]
    if tool.freeform:
        parts.append(f"Put the whole input, as it is, in `{INPUT_PROPERTY}`.")
        if tool.grammar and tool.grammar.get("type") != "text":
            syntax, definition = tool.grammar.get("syntax"), tool.grammar.get("definition")
            if isinstance(definition, str):
                parts.append(f"It must follow this grammar ({syntax or 'formal'}):\n{definition}")
            else:
                parts.append(f"It must follow this grammar:\n{json.dumps(tool.grammar, ensure_ascii=False)}")
    return BETWEEN.join(part for part in parts if part)


def schema(tool: Tool) -> Mapping[str, Any]:
    """A tool's parameters; never empty, since several upstreams refuse a function without."""
    if tool.freeform:
        return {
            "type": "object",
            "properties": {INPUT_PROPERTY: {"type": "string"}},
            "required": [INPUT_PROPERTY],
            "additionalProperties": False,
        }
    if not tool.schema:
        return {"type": "object", "properties": {}}
    return tool.schema if "type" in tool.schema else {"type": "object", **tool.schema}


def chosen(ask: Ask) -> Choice | None:
    """The choice of tools; None where there are no tools to choose from and none must be called."""
    if ask.choice is None or ask.tools or ask.choice.kind in ("required", "tool"):
        return ask.choice
    return None
