"""The view: properties over runs as they can be, interrupted ones included."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from rig import header, well_formed

from mohist.agent.record import Assistant, Fragment, Intent, Outcome, Pruned, Record, Summary, User
from mohist.agent.view import NO_RESULT, USER_ANSWERED, USER_WORDS_TOKENS, legal_cuts, tokens_of, view
from mohist.provider.message import AssistantMessage, TextPart, ToolCall, ToolMessage, UserMessage

HEADER = header(Path("/w"))


@dataclass
class Story:
    """Records as the loop writes them, and after how many of them a request could have been made."""

    records: list[Record] = field(default_factory=lambda: [HEADER, User("the task")])
    requests: list[int] = field(default_factory=lambda: [2])


@st.composite
def stories(draw: st.DrawFn, *, shorten: bool = True) -> Story:
    story = Story()
    count = 0
    steps = ["answer", "failed", "user", "fragment", "lasting", *(["prune", "summary"] if shorten else [])]
    for step in draw(st.lists(st.sampled_from(steps), max_size=14)):
        records = story.records
        match step:
            case "answer":
                calls = []
                for _ in range(draw(st.integers(0, 3))):
                    count += 1
                    calls.append(ToolCall(f"c{count}", "look", "{}"))
                records.append(Assistant(1, (TextPart(f"t{count}"), *calls), "end", None, None))
                # Results come in any order; a word of the user or a note may come between.
                for call in draw(st.permutations(calls)):
                    if draw(st.booleans()):
                        records.append(Intent(call.id, "look", "look", "local"))
                    if draw(st.integers(0, 4)) == 0:
                        records.append(User(f"meanwhile {call.id}"))
                    records.append(Outcome(call.id, "look", "done", f"result of {call.id}", f"looked {call.id}"))
                if not calls:
                    records.append(Fragment("empty answer", "go on"))
            case "failed":
                records.append(Assistant(1, (TextPart("half"), ToolCall(f"f{len(records)}", "x", "")), "", None, None, "", "network: cut"))  # fmt: skip
            case "user":
                records.append(User(f"word {len(records)}"))
            case "fragment":
                records.append(Fragment("topic", f"note {len(records)}"))
            case "lasting":
                records.append(Fragment(draw(st.sampled_from(["rules", "environment"])), f"rule {len(records)}", True))
            case "prune":
                done = [record.call_id for record in records if isinstance(record, Outcome)]
                records.append(Pruned(tuple(done[: len(done) // 2])))
            case "summary":
                last = max((r.keep_from for r in records if isinstance(r, Summary)), default=0)
                cuts = [cut for cut in legal_cuts(records) if cut > last]
                if cuts:
                    records.append(Summary(f"summary {len(records)}", draw(st.sampled_from(cuts)), 1000, "[ ] plan"))
        story.requests.append(len(records))
    return story


@given(stories())
def test_every_call_has_one_result_right_after_its_message_in_call_order(story: Story) -> None:
    for size in range(1, len(story.records) + 1):
        assert well_formed(view(story.records[:size]).messages) == []


@given(stories())
def test_what_was_sent_stays_as_it_was_until_the_conversation_is_shortened(story: Story) -> None:
    for before, after in zip(story.requests, story.requests[1:], strict=False):
        if any(isinstance(record, Pruned | Summary) for record in story.records[before:after]):
            continue
        sent = view(story.records[:before]).messages
        assert view(story.records[:after]).messages[: len(sent)] == sent


@given(stories())
def test_failed_answers_are_never_shown(story: Story) -> None:
    for message in view(story.records).messages:
        assert not (isinstance(message, AssistantMessage) and message.text == "half")


@given(stories())
def test_the_users_words_and_lasting_notes_are_there_word_for_word_whatever_was_summed_up(story: Story) -> None:
    shown = "\n".join(message.text for message in view(story.records).messages if isinstance(message, UserMessage))
    newest = {record.topic: record.text for record in story.records if isinstance(record, Fragment) and record.lasting}
    for text in [record.text for record in story.records if isinstance(record, User)] + list(newest.values()):
        assert text in shown


@given(stories())
def test_a_cut_never_parts_a_call_from_its_result(story: Story) -> None:
    made: dict[str, int] = {}
    for number, record in enumerate(story.records):
        if isinstance(record, Assistant) and not record.failure:
            made.update({call.id: number for call in AssistantMessage(record.parts).calls})
    for cut in legal_cuts(story.records):
        for number, record in enumerate(story.records):
            if isinstance(record, Outcome):
                assert (made[record.call_id] < cut) == (number < cut)


@given(stories())
def test_each_message_says_which_record_it_stands_for(story: Story) -> None:
    seen = view(story.records)
    for message, source in zip(seen.messages, seen.sources, strict=True):
        if source >= 0 and isinstance(message, AssistantMessage):
            record = story.records[source]
            assert isinstance(record, Assistant)
            assert record.parts == message.parts


def test_a_call_that_was_interrupted_has_a_result_that_says_so() -> None:
    records = [HEADER, User("x"), Assistant(1, (ToolCall("a", "look", "{}"),), "end", None, None)]
    assert view(records).messages[-1] == ToolMessage("a", NO_RESULT, is_error=True)


def test_a_stub_says_where_the_whole_is() -> None:
    records = [
        HEADER,
        Assistant(1, (ToolCall("a", "shell", "{}"), ToolCall("b", "look", "{}")), "end", None, None),
        Outcome("a", "shell", "done", "long", "exit code 0", spilled=("command-1.txt",)),
        Outcome("b", "look", "failed", "long", "no such file"),
        Pruned(("a", "b")),
    ]
    first, second = view(records).messages[1:]
    assert isinstance(first, ToolMessage)
    assert isinstance(second, ToolMessage)
    assert "exit code 0" in first.text
    assert "command-1.txt" in first.text
    assert (second.is_error, "no such file" in second.text) == (True, True)


def summed_up(*records: Record) -> str:
    told = [HEADER, *records, Assistant(1, (TextPart("a"),), "end", None, None)]
    first = view([*told, Summary("S", len(told) - 1, 9)]).messages[0]
    assert isinstance(first, UserMessage)
    return first.text


def test_what_a_person_answered_survives_a_summary() -> None:
    call = Assistant(1, (ToolCall("q", "ask", "{}"),), "end", None, None)
    text = summed_up(User("task"), call, Outcome("q", "ask", "done", f"{USER_ANSWERED}never touch the schema"))
    assert "never touch the schema" in text
    nobody = summed_up(User("task"), call, Outcome("q", "ask", "done", "Nobody can be asked in this run."))
    assert "Nobody" not in nobody


def test_the_task_survives_a_summary_however_much_was_said_since() -> None:
    text = summed_up(User("Fix the parser; keep the API."), User("log " * USER_WORDS_TOKENS), User("and be quick"))
    assert "Fix the parser; keep the API." in text
    assert "and be quick" in text
    assert "cut: too long" in text
    assert tokens_of(text) < USER_WORDS_TOKENS + 200


def test_a_task_too_long_to_keep_whole_is_cut_and_says_so() -> None:
    text = summed_up(User("ä" * USER_WORDS_TOKENS * 4), User("newest"))
    assert "cut: too long" in text
    assert "newest" in text


def test_what_is_said_while_a_call_is_open_waits_for_its_result() -> None:
    records: list[Record] = [HEADER, Assistant(1, (ToolCall("a", "look", "{}"),), "end", None, None), User("wait")]
    assert len(view(records).messages) == 2
    records.append(Outcome("a", "look", "done", "found"))
    assert view(records).messages[1:] == (ToolMessage("a", "found"), UserMessage("wait"))


def test_nothing_is_cut_after_a_call_that_has_no_result_yet() -> None:
    records = [HEADER, Assistant(1, (ToolCall("a", "look", "{}"),), "end", None, None)]
    assert legal_cuts([*records, Assistant(2, (TextPart("x"),), "end", None, None), User("y")]) == [1]
