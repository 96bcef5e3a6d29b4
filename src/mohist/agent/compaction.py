"""Keeps a long conversation inside the model's context, in two tiers.

Tier 1 turns old tool results into one-line stubs, all in one go and only where it pays, because every
change of the prefix empties the provider's cache. Tier 2 has the model write a summary; the user's own
words are kept verbatim beside it (see `view`). Guards against loops: a minimum saving, and an end after
some failures. Nothing is lost: the log keeps all records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mohist.agent.answer import assemble
from mohist.agent.record import Assistant, Ended, Fragment, Outcome, Pruned, Record, Summary
from mohist.agent.setting import RunSettings
from mohist.agent.view import View, legal_cuts, message_tokens, tokens_of, view
from mohist.provider.message import (
    Failed,
    Message,
    Provider,
    Request,
    TextPart,
    ToolMessage,
    Usage,
    UserMessage,
)

# Results shorter than this stay: a stub would hardly be shorter.
_PRUNE_MIN_TOKENS = 200
# What a stub costs.
_STUB_TOKENS = 40
# What the summarising call sees of each old tool result.
_CLIP_TOKENS = 600
# Room for the reasoning that some models do before they write.
_SUMMARY_TOKENS = 8_192

FAILED_TOPIC = "compaction failed"
"""Topic of the fragment that says that a summary could not be made."""

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
    """What came of a call for a summary, and what it cost."""

    summary: Summary | None
    why: str = ""
    """Why there is none."""
    usage: Usage | None = None


def kept_tokens(settings: RunSettings, context_tokens: int) -> int:
    """How much of the newest conversation is left as it is; a small context can't keep as much as a large one."""
    return min(settings.compact_keep_tokens, context_tokens // 4)


def prune(records: Sequence[Record], current: View, settings: RunSettings, keep_tokens: int) -> Pruned | None:
    """Tier 1: which results to stub; None where it would not save enough."""
    spared = {call_id for record in records if isinstance(record, Pruned) for call_id in record.call_ids}
    # What a person said is not to be had again by a second call.
    spared |= {record.call_id for record in records if isinstance(record, Outcome) and record.tool == "ask"}
    total = recent = saved = 0
    picked: list[str] = []
    for message in reversed(current.messages):
        cost = message_tokens(message)
        total += cost
        recent += cost
        if recent <= keep_tokens or not isinstance(message, ToolMessage):
            continue
        if message.call_id in spared or cost < _PRUNE_MIN_TOKENS:
            continue
        picked.append(message.call_id)
        saved += cost - _STUB_TOKENS
    if not picked or saved * 100 < settings.prune_min_saving_percent * total:
        return None
    return Pruned(tuple(reversed(picked)))


def choose_cut(records: Sequence[Record], current: View, keep_tokens: int) -> int | None:
    """Number of the first record to keep: the earliest legal cut whose rest costs at most `keep_tokens`.

    None when there is nothing worth cutting off. What stands after the last legal cut is always kept whole.
    """
    summary = last_summary(records)
    floor = summary.keep_from if summary else 0
    costs: dict[int, int] = {}
    for message, source in zip(current.messages, current.sources, strict=True):
        costs[source] = costs.get(source, 0) + message_tokens(message)
    best, rest, end = None, 0, len(records)
    for cut in reversed(legal_cuts(records)):
        if cut <= floor:
            break
        rest += sum(costs.get(number, 0) for number in range(cut, end))
        end = cut
        if rest > keep_tokens and best is not None:
            break
        best = cut
    if best is None or not any(isinstance(r, Assistant) and not r.failure for r in records[floor:best]):
        # The user's words are kept as they are, so without an answer there is nothing to sum up.
        return None
    return best


def last_summary(records: Sequence[Record]) -> Summary | None:
    """The summary in force."""
    return next((record for record in reversed(records) if isinstance(record, Summary)), None)


def failures(records: Sequence[Record]) -> int:
    """Failed summaries since the last one that was written, or since the run last ended."""
    count = 0
    for record in reversed(records):
        if isinstance(record, Summary | Ended):
            break
        count += isinstance(record, Fragment) and record.topic == FAILED_TOPIC
    return count


async def summarise(
    provider: Provider,
    request: Request,
    records: Sequence[Record],
    settings: RunSettings,
    live_state: str,
) -> Written:
    """Tier 2: asks the model for a summary of what stands before the cut."""
    current = view(records)
    cut = choose_cut(records, current, kept_tokens(settings, provider.caps.context_tokens))
    if cut is None:
        return Written(None, "there is nothing old enough to summarise")
    before = current.tokens
    # The summary in force may stand behind the cut; without it the whole conversation would come back.
    earlier = last_summary(records)
    old = view([*records[:cut], earlier] if earlier else records[:cut]).messages
    asked = Request(
        model=request.model,
        system=request.system,
        messages=(*_clipped(old), UserMessage(SUMMARY_PROMPT)),
        tools=request.tools,
        max_output_tokens=min(request.max_output_tokens, _SUMMARY_TOKENS),
        session_id=request.session_id,
    )
    answer = await assemble(provider.stream(asked), lambda _text, _thinking: None)
    usage = answer.end.usage
    if isinstance(answer.end, Failed):
        return Written(None, f"{answer.end.kind}: {answer.end.detail}", usage)
    text = "".join(part.text for part in answer.parts if isinstance(part, TextPart)).strip()
    if not text:
        return Written(None, "the model wrote no summary", usage)
    summary = Summary(text, cut, before, live_state)
    after = view([*records, summary]).tokens
    if (before - after) * 100 < settings.compact_min_saving_percent * before:
        return Written(None, f"the summary would save too little ({before} to {after} tokens)", usage)
    return Written(summary, "", usage)


def prefix_tokens(system: str, tools: Sequence[Mapping[str, Any]]) -> int:
    """Estimated tokens of system prompt and tool declarations."""
    return tokens_of(system) + sum(tokens_of(str(tool)) for tool in tools)


def used_tokens(records: Sequence[Record], current: View, prefix: int) -> int:
    """Tokens the next request will have: what the provider counted last, plus an estimate of what came since."""
    for number in range(len(records) - 1, -1, -1):
        record = records[number]
        if isinstance(record, Pruned | Summary):
            break
        # Some endpoints report zeros.
        if isinstance(record, Assistant) and not record.failure and record.usage and record.usage.prompt_tokens:
            since = sum(
                message_tokens(message)
                for message, source in zip(current.messages, current.sources, strict=True)
                if source > number or (source == number and isinstance(message, ToolMessage))
            )
            return record.usage.prompt_tokens + record.usage.output_tokens + since
    return prefix + current.tokens


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
