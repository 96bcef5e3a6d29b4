"""Keeps a long conversation inside the model's context, in two tiers.

Tier 1 turns old tool results into one-line stubs, all in one go and only where it pays, because every
change of the prefix empties the provider's cache. Tier 2 has the model write a summary; the user's own
words are kept verbatim beside it (see `view`). Guards against loops: a minimum saving, and an end after
some failures. Nothing is lost: the log keeps all records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mohist.agent.answer import assemble
from mohist.agent.record import Assistant, Outcome, Pruned, Record, Summary
from mohist.agent.setting import RunSettings
from mohist.agent.view import View, legal_cuts, message_tokens, tokens_of, view
from mohist.provider.message import Message, Provider, Request, TextPart, ToolMessage, ToolSpec, Usage, UserMessage

# Results shorter than this stay: a stub would hardly be shorter.
_PRUNE_MIN_TOKENS = 200
# What the summarising call sees of each old tool result.
_CLIP_TOKENS = 600

SUMMARY_PROMPT = """\
The conversation must be shortened. Write the summary that you will go on from; call no tool. \
Bring an earlier summary up to date instead of repeating it. Use these headings, and leave out what is empty:
Goal: what the user wants, in a sentence or two.
Constraints: every rule, preference and prohibition the user or an instruction file gave, in their words.
Decisions: what was decided and why.
Files: each file read or changed that still matters, and what was found or done there.
Commands: those that work (tests, build), exactly as typed, with their last result.
Open: what is not done, what failed and why.
Next: the very next step."""


@dataclass(frozen=True, slots=True)
class Written:
    """A summary and what the call that wrote it cost."""

    summary: Summary
    usage: Usage | None


def prune(records: Sequence[Record], current: View, settings: RunSettings) -> Pruned | None:
    """Tier 1: which results to stub; None where it would not save enough."""
    already = {call_id for record in records if isinstance(record, Pruned) for call_id in record.call_ids}
    total = current.tokens
    recent = 0
    picked: list[str] = []
    saved = 0
    for message in reversed(current.messages):
        cost = message_tokens(message)
        recent += cost
        if recent <= settings.compact_keep_tokens or not isinstance(message, ToolMessage):
            continue
        if message.call_id in already or cost < _PRUNE_MIN_TOKENS:
            continue
        picked.append(message.call_id)
        saved += cost - 40
    if not picked or saved * 100 < settings.prune_min_saving_percent * total:
        return None
    return Pruned(tuple(reversed(picked)))


def choose_cut(records: Sequence[Record], keep_tokens: int) -> int | None:
    """Number of the first record to keep: the earliest legal cut whose rest costs at most `keep_tokens`.

    None when there is nothing worth cutting off. The last answer is always kept whole.
    """
    cuts = legal_cuts(records)
    last = max((number for number, record in enumerate(records) if isinstance(record, Summary)), default=-1)
    floor = records[last].keep_from if last >= 0 and isinstance(records[last], Summary) else 0  # type: ignore[union-attr]
    best = None
    for cut in reversed(cuts):
        if cut <= floor:
            break
        rest = sum(_record_tokens(record) for record in records[cut:])
        if rest > keep_tokens and best is not None:
            break
        best = cut
    return best


async def summarise(
    provider: Provider,
    request: Request,
    records: Sequence[Record],
    settings: RunSettings,
    live_state: str,
) -> Written | str:
    """Tier 2: asks the model for a summary of what stands before the cut; a string says why there is none."""
    cut = choose_cut(records, settings.compact_keep_tokens)
    if cut is None:
        return "there is nothing old enough to summarise"
    before = view(records).tokens
    old = view(records[:cut]).messages
    asked = Request(
        model=request.model,
        system=request.system,
        messages=(*_clipped(old), UserMessage(SUMMARY_PROMPT)),
        tools=request.tools,
        max_output_tokens=min(request.max_output_tokens, 4096),
        session_id=request.session_id,
    )
    answer = await assemble(provider.stream(asked), lambda _text, _thinking: None)
    text = "".join(part.text for part in answer.parts if isinstance(part, TextPart)).strip()
    if not text:
        return "the model wrote no summary"
    summary = Summary(text, cut, before, live_state)
    after = view([*records, summary]).tokens
    if (before - after) * 100 < settings.compact_min_saving_percent * before:
        return f"the summary would save too little ({before} to {after} tokens)"
    return Written(summary, getattr(answer.end, "usage", None))


def prefix_tokens(system: str, tools: Sequence[ToolSpec]) -> int:
    """Estimated tokens of system prompt and tool declarations."""
    return tokens_of(system) + sum(
        tokens_of(tool.name) + tokens_of(tool.description) + tokens_of(str(dict(tool.parameters))) for tool in tools
    )


def used_tokens(records: Sequence[Record], current: View, prefix: int) -> int:
    """Tokens the next request will have: what the provider counted last, plus an estimate of what came since."""
    for number in range(len(records) - 1, -1, -1):
        record = records[number]
        if isinstance(record, Pruned | Summary):
            break
        if isinstance(record, Assistant) and not record.failure and record.usage is not None:
            since = sum(
                message_tokens(message)
                for message, source in zip(current.messages, current.sources, strict=True)
                if source > number or (source == number and isinstance(message, ToolMessage))
            )
            return record.usage.prompt_tokens + record.usage.output_tokens + since
    return prefix + current.tokens


def _record_tokens(record: Record) -> int:
    match record:
        case Outcome(text=text):
            return tokens_of(text)
        case Assistant(failure=""):
            return sum(tokens_of(str(part)) for part in record.parts)
        case _:
            return tokens_of(getattr(record, "text", ""))


def _clipped(messages: Sequence[Message]) -> list[Message]:
    clipped: list[Message] = []
    for message in messages:
        if isinstance(message, ToolMessage) and tokens_of(message.text) > _CLIP_TOKENS:
            half = _CLIP_TOKENS * 2
            text = f"{message.text[:half]}\n[…]\n{message.text[-half:]}"
            clipped.append(ToolMessage(message.call_id, text, message.is_error))
        else:
            clipped.append(message)
    return clipped
