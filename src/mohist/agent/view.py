"""What the model sees: a pure function of the log.

Holds always (property-tested):
- every tool call has exactly one result, right after the message that made it, in call order;
- the view after one more record starts with the view before it, except after Pruned and Summary;
- nothing that changes from turn to turn stands before the last user message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mohist.agent.record import Assistant, Fragment, Header, Outcome, Pruned, Record, Summary, User
from mohist.provider.message import AssistantMessage, Message, TextPart, ThinkingPart, ToolMessage, UserMessage

# A summary keeps the user's own words up to this many tokens: constraints are what summaries lose first.
USER_WORDS_TOKENS = 20_000

USER_ANSWERED = "The user answered: "
"""How a result of the tool `ask` starts when a person did answer."""

NO_RESULT = "This call did not start: the run was interrupted before it. Nothing was done."


def tokens_of(text: str) -> int:
    """A rough count, four bytes a token; only used for the part no provider has counted yet."""
    return (len(text.encode("utf-8", "surrogatepass")) + 3) // 4


@dataclass(frozen=True, slots=True)
class View:
    """The messages of a request and where they come from."""

    messages: tuple[Message, ...]
    sources: tuple[int, ...]
    """Per message the number of the record it stands for; -1 for what a summary put in."""

    @property
    def tokens(self) -> int:
        """Estimated tokens of all messages."""
        return sum(message_tokens(message) for message in self.messages)


def message_tokens(message: Message) -> int:
    """Estimated tokens of one message, with 4 for its frame."""
    match message:
        case UserMessage(text) | ToolMessage(text=text):
            return tokens_of(text) + 4
        case AssistantMessage(parts):
            total = 4
            for part in parts:
                match part:
                    case TextPart(text):
                        total += tokens_of(text)
                    case ThinkingPart(text, opaque):
                        total += tokens_of(text) + tokens_of(opaque or "")
                    case _:
                        total += tokens_of(part.arguments) + tokens_of(part.name) + 8
            return total


def view(records: Sequence[Record]) -> View:
    """Folds the records into messages."""
    outcomes = {record.call_id: record for record in records if isinstance(record, Outcome)}
    pruned = {call_id for record in records if isinstance(record, Pruned) for call_id in record.call_ids}
    summary: Summary | None = None
    for record in records:
        if isinstance(record, Summary):
            summary = record
    messages: list[Message] = []
    sources: list[int] = []

    def say(message: Message, source: int) -> None:
        messages.append(message)
        sources.append(source)

    start = 0
    if summary is not None:
        start = summary.keep_from
        lasting = {
            record.topic: record for record in records[:start] if isinstance(record, Fragment) and record.lasting
        }
        for fragment in lasting.values():
            say(_note(fragment), -1)
        say(UserMessage(_summary_text(summary, _user_words(records[:start]))), -1)
    pending: list[tuple[Message, int]] = []
    waiting: set[str] = set()
    for number, record in enumerate(records[start:], start):
        match record:
            case User(text):
                pending.append((UserMessage(text), number))
            case Fragment():
                pending.append((_note(record), number))
            case Assistant(parts=parts, failure=""):
                _flush(pending, say)
                message = AssistantMessage(parts)
                say(message, number)
                waiting = {call.id for call in message.calls} - outcomes.keys()
                for call in message.calls:
                    outcome = outcomes.get(call.id)
                    if outcome is None:
                        say(ToolMessage(call.id, NO_RESULT, is_error=True), number)
                    else:
                        say(_result(outcome, stub=call.id in pruned), number)
            case _:
                pass
    if not waiting:
        _flush(pending, say)
    return View(tuple(messages), tuple(sources))


def legal_cuts(records: Sequence[Record]) -> list[int]:
    """Record numbers before which a view may be cut: no call is separated from its result.

    Those are whole assistant answers and user messages that follow finished calls.
    """
    cuts = []
    open_calls: set[str] = set()
    for number, record in enumerate(records):
        match record:
            case Assistant(parts=parts, failure=""):
                if not open_calls:
                    cuts.append(number)
                open_calls |= {call.id for call in AssistantMessage(parts).calls}
            case Outcome(call_id=call_id):
                open_calls.discard(call_id)
            case User() if not open_calls and number > 0:
                cuts.append(number)
            case Header() | _:
                pass
    return cuts


def _note(fragment: Fragment) -> UserMessage:
    return UserMessage(f'<note topic="{fragment.topic}">\n{fragment.text}\n</note>')


def _flush(pending: list[tuple[Message, int]], say: Callable[[Message, int], None]) -> None:
    for message, source in pending:
        say(message, source)
    pending.clear()


def _result(outcome: Outcome, *, stub: bool) -> ToolMessage:
    is_error = outcome.status != "done"
    if stub:
        where = (
            f" Whole output: {', '.join(outcome.spilled)}."
            if outcome.spilled
            else " Run the call again if you need it."
        )
        return ToolMessage(
            outcome.call_id, f"[old result left out: {outcome.summary or outcome.tool}.{where}]", is_error
        )
    return ToolMessage(outcome.call_id, outcome.text, is_error)


def _user_words(records: Sequence[Record]) -> list[str]:
    """The user's own words, answers to questions included, in their order.

    Where there are too many: the first (the task) and the newest.
    """
    said: list[str] = []
    for record in records:
        match record:
            case User(text):
                said.append(text)
            case Outcome(tool="ask", text=text) if text.startswith(USER_ANSWERED):
                said.append(text)
            case _:
                pass
    if not said:
        return []
    task = _within(said[0], USER_WORDS_TOKENS // 2)
    budget = USER_WORDS_TOKENS - tokens_of(task)
    kept: list[str] = []
    for text in reversed(said[1:]):
        cost = tokens_of(text)
        if cost > budget:
            kept.append(_within(text, budget))
            break
        budget -= cost
        kept.append(text)
    return [task, *kept[::-1]]


def _within(text: str, tokens: int) -> str:
    if tokens_of(text) <= tokens:
        return text
    head = text.encode("utf-8", "surrogatepass")[: tokens * 4].decode("utf-8", "ignore")
    return f"{head} […cut: too long to keep whole]"


def _summary_text(summary: Summary, words: list[str]) -> str:
    said = "\n\n".join(f"<user>\n{text}\n</user>" for text in words)
    live = f"\n\nStill going on:\n{summary.live_state}" if summary.live_state else ""
    return (
        "The conversation so far was summarised. What the user said, word for word:\n\n"
        f"{said}\n\nSummary of the work so far:\n\n{summary.text}{live}"
    )
