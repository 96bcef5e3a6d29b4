"""Shortening a conversation: what must be remembered is, and it is done only where it pays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rig import FakeTool, Rig, answered, header, well_formed

from fakes.model import Answer, ScriptedModel, answers
from mohist.agent import compaction
from mohist.agent.compaction import choose_cut, kept_tokens, prune, summarise, used_tokens
from mohist.agent.loop import totals
from mohist.agent.record import Assistant, Ended, Fragment, Outcome, Pruned, Record, Summary, User
from mohist.agent.setting import RunSettings
from mohist.agent.tool import Result
from mohist.agent.view import USER_ANSWERED, message_tokens, view
from mohist.event import Note
from mohist.provider.message import Caps, Request, TextPart, ToolCall, ToolMessage, Usage, UserMessage

MakeRig = Callable[..., Rig]
SETTINGS = RunSettings(compact_keep_tokens=1_000)
NO_STUBS = RunSettings(compact_keep_tokens=1_000, prune_at_percent=1_000, max_turns=20)
ASKED = Request("m", "s", ())


def turn(number: int, size_tokens: int = 400, tool: str = "look") -> list[Record]:
    call = ToolCall(f"c{number}", tool, "{}")
    return [answered(number, call), Outcome(call.id, tool, "done", "word" * size_tokens, f"looked {number}")]


def long_run(rig: Rig, turns: int = 12) -> None:
    for number in range(turns):
        for record in turn(number):
            rig.log.append(record)


def everything(request: Request) -> str:
    return "\n".join(str(message) for message in request.messages)


async def test_facts_planted_early_are_there_after_the_summary(make_rig: MakeRig) -> None:
    rig = make_rig(tools=[FakeTool("look")], settings=NO_STUBS, task="Fix it. Never touch schema.sql.", live_state="[~] run tests")  # fmt: skip
    rig.log.append(Fragment("instructions from AGENTS.md", "Use tabs.", lasting=True))
    rig.log.append(User("And keep Python 3.8 working."))
    for record in turn(50, 900):
        rig.log.append(record)
    long_run(rig)

    def respond(request: Request) -> Answer:
        if "must be shortened" in everything(request):
            return answers("text Commands: `make check-fast` passes.")[0]
        return answers("text done")[0]

    model = ScriptedModel(respond, caps=Caps(context_tokens=5_000))
    assert (await rig.run(model)).status == "done"
    shown = everything(model.requests[-1])
    for fact in ("Never touch schema.sql", "Python 3.8", "Use tabs.", "make check-fast", "[~] run tests"):
        assert fact in shown
    assert "word" * 700 not in everything(model.requests[0]), "the summarising call sees long results clipped"
    assert well_formed(model.requests[0].messages) == []


async def test_a_second_summary_builds_on_the_first_not_on_the_whole_past(make_rig: MakeRig) -> None:
    rig = make_rig(settings=SETTINGS)
    long_run(rig)
    first = await summarise(ScriptedModel("text FIRST"), ASKED, rig.log.records, SETTINGS, "")
    assert first.summary is not None
    rig.log.append(first.summary)
    # A cut that lies before the record of the first summary but after what it kept.
    for number in (20, 21):
        for record in turn(number, 300):
            rig.log.append(record)
    model = ScriptedModel("text SECOND")
    second = await summarise(model, ASKED, rig.log.records, RunSettings(compact_keep_tokens=1_200, compact_min_saving_percent=0), "")  # fmt: skip
    assert second.summary is not None
    assert second.summary.keep_from > first.summary.keep_from
    assert "FIRST" in everything(model.requests[0])
    assert "c0'" not in everything(model.requests[0])


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("fail network reset", "network: reset"),
        ("text Goal: half a summ\nfail network reset", "network: reset"),
        ("text half\ncut", "protocol"),
        ("empty", "no summary"),
        ("call look {}", "no summary"),
        (f"text {'long ' * 4000}", "save too little"),
    ],
)
async def test_a_summary_that_is_not_whole_or_saves_too_little_is_not_taken(
    make_rig: MakeRig, script: str, why: str
) -> None:
    rig = make_rig(settings=SETTINGS)
    long_run(rig)
    written = await summarise(ScriptedModel(script), ASKED, rig.log.records, SETTINGS, "")
    assert written.summary is None
    assert why in written.why


async def test_failed_summaries_are_paid_for_and_end_after_three(make_rig: MakeRig) -> None:
    count = iter(range(99))

    def respond(request: Request) -> Answer:
        if "must be shortened" in everything(request):
            return answers("empty\nusage 100 0")[0]
        return answers(f'call look {{"n": {next(count)}}}\nno-usage')[0]

    rig = make_rig(tools=[FakeTool("look")], settings=NO_STUBS)
    long_run(rig)
    model = ScriptedModel(respond, caps=Caps(context_tokens=5_000))
    await rig.run(model)
    assert sum("must be shortened" in everything(request) for request in model.requests) == 3
    assert totals(rig.log.records).usage.input_tokens == 300
    assert [event.text for event in rig.heard(Note)] == ["compaction failed: the model wrote no summary"] * 3


def test_the_breaker_is_reset_by_a_summary_and_by_an_end() -> None:
    failed = Fragment(compaction.FAILED_TOPIC, "x")
    assert compaction.failures([failed, failed]) == 2
    assert compaction.failures([failed, Summary("s", 1, 1), failed]) == 1
    assert compaction.failures([failed, failed, Ended("failed", "")]) == 0


def test_old_results_are_stubbed_and_the_newest_kept() -> None:
    records: list[Record] = [header_record(), User("x"), *[r for n in range(10) for r in turn(n)]]
    pruned = prune(records, view(records), SETTINGS, 1_000)
    assert pruned is not None
    assert pruned.call_ids == tuple(f"c{n}" for n in range(8))
    shorter = view([*records, pruned])
    assert shorter.tokens < view(records).tokens / 2
    assert well_formed(shorter.messages) == []
    assert prune([*records, pruned], shorter, SETTINGS, 1_000) is None, "nothing is left that pays"


def test_stubbing_is_not_done_where_it_saves_little() -> None:
    small: list[Record] = [header_record(), User("x" * 40_000), *[r for n in range(4) for r in turn(n, 210)]]
    assert prune(small, view(small), SETTINGS, 100) is None
    short: list[Record] = [header_record(), *[r for n in range(50) for r in turn(n, 100)]]
    assert prune(short, view(short), SETTINGS, 100) is None


def test_what_a_person_said_is_never_stubbed() -> None:
    asked = [answered(0, ToolCall("q", "ask", "{}")), Outcome("q", "ask", "done", USER_ANSWERED + "word " * 400)]
    records: list[Record] = [header_record(), *asked, *[r for n in range(10) for r in turn(n)]]
    pruned = prune(records, view(records), SETTINGS, 500)
    assert pruned is not None
    assert "q" not in pruned.call_ids


def test_a_cut_keeps_at_most_what_was_asked_for_and_always_the_last_answer() -> None:
    records: list[Record] = [header_record(), User("x"), *[r for n in range(10) for r in turn(n)]]
    assert choose_cut(records, view(records), 1_000) == len(records) - 4
    assert choose_cut(records, view(records), 1) == len(records) - 2
    failed = [*records, Assistant(1, (TextPart("word" * 9000),), "", None, None, "", "network: x")]
    assert choose_cut(failed, view(failed), 1_000) == len(records) - 4, "a failed answer costs nothing"


def test_stubs_cost_a_cut_what_they_cost_the_model() -> None:
    records: list[Record] = [header_record(), User("x"), *[r for n in range(10) for r in turn(n)]]
    records.append(Pruned(tuple(f"c{n}" for n in range(8))))
    cut = choose_cut(records, view(records), 1_000)
    assert cut is not None
    assert cut < len(records) - 9


def test_without_an_old_answer_there_is_nothing_to_sum_up() -> None:
    assert choose_cut([header_record(), User("a" * 9999), User("b")], view([User("a")]), 10) is None
    one: list[Record] = [header_record(), User("x"), *turn(1)]
    assert choose_cut(one, view(one), 10) is None


def test_what_the_provider_counted_is_believed_and_the_rest_estimated() -> None:
    counted = Assistant(1, (ToolCall("a", "look", "{}"),), "end", Usage(100, 900, 0, 50), None)
    records: list[Record] = [header_record(), User("x"), counted, Outcome("a", "look", "done", "word" * 300)]
    seen = view(records)
    assert used_tokens(records, seen, 77) == 1050 + message_tokens(ToolMessage("a", "word" * 300))
    records.append(User("more"))
    assert used_tokens(records, view(records), 77) == 1050 + 304 + message_tokens(UserMessage("more"))
    records.append(Pruned(("a",)))
    assert used_tokens(records, view(records), 77) == 77 + view(records).tokens, "the count is of another view"


def test_an_endpoint_that_counts_nothing_is_not_believed() -> None:
    records: list[Record] = [header_record(), User("word" * 500), Assistant(1, (TextPart("a"),), "end", Usage(), None)]
    assert used_tokens(records, view(records), 10) > 500


def test_a_small_context_keeps_less_than_a_large_one() -> None:
    assert kept_tokens(RunSettings(compact_keep_tokens=20_000), 200_000) == 20_000
    assert kept_tokens(RunSettings(compact_keep_tokens=20_000), 8_000) == 2_000


async def test_stubs_come_first_and_a_summary_only_when_they_are_not_enough(make_rig: MakeRig) -> None:
    async def act(args: object, ctx: object, progress: object) -> Result:
        return Result("word" * 400)

    rig = make_rig(tools=[FakeTool("look", act)], settings=SETTINGS)
    long_run(rig, 9)
    model = ScriptedModel("text done", caps=Caps(context_tokens=5_000))
    await rig.run(model)
    assert (len(rig.of(Pruned)), len(rig.of(Summary))) == (1, 0)


def header_record() -> Record:
    return header(Path("/w"))
