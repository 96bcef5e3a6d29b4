"""The turn loop on a scripted model: how each fault is met, and how a run ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rig import FakeTool, Rig, answered, well_formed

from fakes.model import Answer, ChaoticModel, ScriptedModel, answers
from mohist.agent.loop import GO_ON, distinct, totals, up_to_done
from mohist.agent.record import Assistant, Ended, Fragment, Outcome, Summary, User
from mohist.agent.setting import RunSettings
from mohist.agent.tool import Result, ToolError
from mohist.event import Compacted, ModelAnswered, ModelRetry
from mohist.provider.message import (
    AssistantMessage,
    Caps,
    Done,
    Request,
    TextDelta,
    TextPart,
    ToolCall,
    Usage,
    UserMessage,
)

MakeRig = Callable[..., Rig]
LOOK = FakeTool("look")
LONG = f'text {"y" * 8000}\ncall look {{}}\n---\ncall look {{"n": 1}}'


async def test_calls_are_run_and_their_results_shown_until_words_alone_end_the_run(make_rig: MakeRig) -> None:
    rig = make_rig(tools=[LOOK])
    model = ScriptedModel("""
        think Where is it?
        text Let me look.
        call look {"path": "a"}
        call look {"path": "b"}
        ---
        text It is in a.
    """)
    ended = await rig.run(model)
    assert ended == Ended("done", "It is in a.")
    assert [type(message).__name__ for message in model.requests[1].messages] == [
        "UserMessage", "AssistantMessage", "ToolMessage", "ToolMessage",
    ]  # fmt: skip
    assert [outcome.text for outcome in rig.outcomes] == ['ok {"path": "a"}', 'ok {"path": "b"}']
    assert [event.turn for event in rig.heard(ModelAnswered)] == [1, 2]
    assert rig.events[-1] == rig.heard(ModelAnswered)[-1]


async def test_every_request_starts_with_the_one_before(make_rig: MakeRig) -> None:
    rig = make_rig(tools=[LOOK])
    model = ScriptedModel("\n---\n".join(f'call look {{"n": {n}}}' for n in range(6)) + "\n---\ntext done")
    await rig.run(model)
    for before, after in zip(model.requests, model.requests[1:], strict=False):
        assert after.messages[: len(before.messages)] == before.messages
        assert (after.system, after.tools, after.model) == (before.system, before.tools, before.model)
        assert well_formed(after.messages) == []


async def test_a_busy_provider_is_asked_again_after_the_time_it_names(make_rig: MakeRig) -> None:
    rig = make_rig()
    model = ScriptedModel("fail rate slow down retry=7\n---\nfail rate slow down retry=3\n---\ntext done")
    assert (await rig.run(model)).status == "done"
    assert rig.slept_s == [7, 3]
    assert [(event.kind, event.attempt, event.wait_s) for event in rig.heard(ModelRetry)] == [
        ("rate", 1, 7),
        ("rate", 2, 3),
    ]


async def test_without_a_named_time_each_wait_doubles_up_to_the_bound(make_rig: MakeRig) -> None:
    rig = make_rig(settings=RunSettings(retries=4, retry_base_s=1, retry_max_wait_s=5))
    faults = ["overload busy", "network reset", "overload busy retry=0", "network x"]
    model = ScriptedModel("".join(f"fail {fault}\n---\n" for fault in faults) + "text done")
    assert (await rig.run(model)).status == "done"
    assert rig.slept_s == [1, 2, 4, 5]


async def test_a_model_that_stays_unreachable_ends_the_run_without_a_model(make_rig: MakeRig) -> None:
    rig = make_rig(settings=RunSettings(retries=2))
    ended = await rig.run(ScriptedModel("\n---\n".join(["fail network no route"] * 3)))
    assert ended.status == "no_model"
    assert "3 attempts" in ended.detail
    assert len(rig.slept_s) == 2


async def test_a_wait_longer_than_the_bound_ends_the_run_at_once(make_rig: MakeRig) -> None:
    rig = make_rig()
    ended = await rig.run(ScriptedModel("fail rate come back tomorrow retry=86400"))
    assert (ended.status, rig.slept_s) == ("no_model", [])
    assert "86400" in ended.detail


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("auth", "no_model"),
        ("bad_request", "failed"),
        ("protocol", "failed"),
        ("unknown", "failed"),
        ("content", "failed"),
        ("cancelled", "cancelled"),
    ],
)
async def test_what_would_fail_again_is_not_sent_again(make_rig: MakeRig, kind: str, status: str) -> None:
    rig = make_rig()
    model = ScriptedModel(f"fail {kind} because")
    ended = await rig.run(model)
    assert (ended.status, len(model.requests)) == (status, 1)


async def test_a_stream_that_ends_without_saying_how_is_no_answer(make_rig: MakeRig) -> None:
    rig = make_rig(tools=[LOOK])
    ended = await rig.run(ScriptedModel('text half\ncall look {"a": 1}\ncut'))
    assert ended.status == "failed"
    assert rig.outcomes == []


async def test_an_answer_cut_by_the_network_runs_nothing_and_is_not_shown_again(make_rig: MakeRig) -> None:
    rig = make_rig(tools=[LOOK])
    model = ScriptedModel('text half\ncall look {"a": 1}\nfail network reset\n---\ntext done')
    await rig.run(model)
    assert rig.outcomes == []
    assert model.requests[1].messages == model.requests[0].messages
    assert [record.failure for record in rig.of(Assistant)] == ["network: reset", ""]


async def test_calls_of_an_answer_stopped_for_length_are_refused_not_run(make_rig: MakeRig) -> None:
    tool = FakeTool("write")
    rig = make_rig(tools=[tool])
    model = ScriptedModel('call write {"text": "half"}\nstop length\n---\ntext ok')
    await rig.run(model)
    assert tool.ran == []
    assert [outcome.status for outcome in rig.outcomes] == ["invalid"]
    assert "cut off at the output limit" in rig.outcomes[0].text


async def test_words_stopped_for_length_are_not_the_end(make_rig: MakeRig) -> None:
    rig = make_rig()
    ended = await rig.run(ScriptedModel("text and so on and\nstop length\n---\ntext The end."))
    assert ended.summary == "The end."
    assert rig.topics == ["cut off"]


async def test_empty_answers_are_named_and_the_third_in_a_row_ends_the_run(make_rig: MakeRig) -> None:
    rig = make_rig()
    ended = await rig.run(ScriptedModel("empty\n---\nthink hm\n---\nempty"))
    assert ended.status == "failed"
    assert "3 empty answers" in ended.detail
    assert rig.topics == ["empty answer"] * 2


async def test_an_answer_between_empty_ones_starts_the_count_anew(make_rig: MakeRig) -> None:
    rig = make_rig(tools=[LOOK])
    script = ["empty", "empty", 'call look {"n": 1}', "empty", "empty", "text done"]
    assert (await rig.run(ScriptedModel("\n---\n".join(script)))).status == "done"


async def test_a_refusal_ends_the_run_even_when_it_says_nothing(make_rig: MakeRig) -> None:
    ended = await make_rig().run(ScriptedModel("empty\nstop refusal"))
    assert (ended.status, ended.detail) == ("failed", "The model declined to go on.")


async def test_an_unknown_tool_is_answered_with_the_known_ones(make_rig: MakeRig) -> None:
    rig = make_rig(tools=[LOOK])
    await rig.run(ScriptedModel("call fly {}\n---\ntext ok"))
    assert rig.outcomes[0].status == "invalid"
    assert "'fly'" in rig.outcomes[0].text
    assert "look" in rig.outcomes[0].text


@pytest.mark.parametrize("arguments", ['{"path": ', "[1]", "{" + '"a":[' * 3 + "]", "[" * 200_000])
async def test_malformed_arguments_three_answers_in_a_row_end_the_run(make_rig: MakeRig, arguments: str) -> None:
    rig = make_rig(tools=[LOOK])
    ended = await rig.run(ScriptedModel("\n---\n".join([f"call look {arguments}"] * 3)))
    assert ended.status == "failed"
    assert "malformed calls 3 times" in ended.detail
    assert [outcome.status for outcome in rig.outcomes] == ["invalid"] * 3


async def test_a_place_tools_may_not_touch_is_no_malformed_call(make_rig: MakeRig) -> None:
    def outside(args: object) -> object:
        raise ToolError("outside of the workspace")

    rig = make_rig(tools=[FakeTool("look", access=outside)])
    script = "\n---\n".join(f'call look {{"path": "/{n}"}}' for n in range(5)) + "\n---\ntext done"
    assert (await rig.run(ScriptedModel(script))).status == "done"
    assert {outcome.status for outcome in rig.outcomes} == {"failed"}


async def test_one_good_call_between_malformed_ones_keeps_the_run_alive(make_rig: MakeRig) -> None:
    rig = make_rig(tools=[LOOK])
    script = ["call look {", "call look {", 'call look {"n": 1}', "call look {", "call look {", "text done"]
    assert (await rig.run(ScriptedModel("\n---\n".join(script)))).status == "done"


async def test_going_in_circles_is_named_at_three_and_stopped_at_ten(make_rig: MakeRig) -> None:
    rig = make_rig(tools=[LOOK])
    model = ScriptedModel("\n---\n".join(["call look {}"] * 20))
    ended = await rig.run(model)
    assert (ended.status, len(model.requests)) == ("failed", 10)
    assert "same call with the same result 10 times" in ended.detail
    assert rig.topics == ["going in circles"] * 3
    assert "3 times" in model.requests[3].messages[-1].text


async def test_the_same_call_with_other_results_is_no_circle(make_rig: MakeRig) -> None:
    count = iter(range(100))

    async def act(args: object, ctx: object, progress: object) -> Result:
        return Result(f"{next(count)} of 12 tests pass")

    rig = make_rig(tools=[FakeTool("look", act)])
    assert (await rig.run(ScriptedModel("\n---\n".join(["call look {}"] * 12) + "\n---\ntext done"))).status == "done"
    assert rig.topics == []


async def test_polling_a_job_is_no_circle(make_rig: MakeRig) -> None:
    rig = make_rig(tools=[FakeTool("job")])
    assert (await rig.run(ScriptedModel("\n---\n".join(["call job {}"] * 12) + "\n---\ntext done"))).status == "done"


async def test_turns_are_bounded_and_a_resumed_run_has_its_turns_anew(make_rig: MakeRig) -> None:
    rig = make_rig(tools=[LOOK], settings=RunSettings(max_turns=2))
    ended = await rig.run(ScriptedModel('call look {"n": 1}\n---\ncall look {"n": 2}'))
    assert (ended.status, "2 turns" in ended.detail) == ("budget", True)
    rig.log.append(ended)
    rig.reopen()
    assert (await rig.run(ScriptedModel("text done"))).status == "done"


async def test_the_budget_counts_failed_answers_too(make_rig: MakeRig) -> None:
    rig = make_rig(tools=[LOOK], settings=RunSettings(max_cost_microusd=100))
    model = ScriptedModel('call look {"n": 1}\nusage 50 10\n---\ncall look {"n": 2}\nusage 50 10\n---\ntext never')
    ended = await rig.run(model)
    assert (ended.status, len(model.requests)) == ("budget", 2)
    assert totals(rig.log.records).cost_microusd == 120


async def test_a_budget_is_not_spent_on_a_model_without_a_price(make_rig: MakeRig) -> None:
    rig = make_rig(tools=[LOOK], settings=RunSettings(max_cost_microusd=100))
    model = ScriptedModel("call look {}\n---\ntext never", price=None)
    ended = await rig.run(model)
    assert (ended.status, len(model.requests)) == ("budget", 1)
    assert "not known" in ended.detail


async def test_usage_sums_over_all_answers(make_rig: MakeRig) -> None:
    rig = make_rig(tools=[LOOK])
    await rig.run(ScriptedModel("call look {}\nusage 10 2 30\n---\ntext x\nusage 1 1 40"))
    last = rig.heard(ModelAnswered)[-1]
    assert (last.total_prompt_tokens, last.total_output_tokens, last.cache_share_percent) == (81, 3, 97)
    assert totals(rig.log.records).usage == Usage(11, 70, 0, 3)


async def test_done_that_does_not_hold_goes_on_and_done_that_holds_ends(make_rig: MakeRig) -> None:
    verdicts = iter([Result("2 tests fail", ok=False), Result("Fixed the bug.")])

    async def act(args: object, ctx: object, progress: object) -> Result:
        return next(verdicts)

    rig = make_rig(tools=[FakeTool("done", act)])
    ended = await rig.run(ScriptedModel('call done {"n": 1}\n---\ncall done {"n": 2}'))
    assert ended == Ended("done", "Fixed the bug.")
    assert [outcome.status for outcome in rig.outcomes] == ["failed", "done"]


async def test_done_that_never_holds_ends_as_failed(make_rig: MakeRig) -> None:
    async def act(args: object, ctx: object, progress: object) -> Result:
        return Result("2 tests fail", ok=False)

    rig = make_rig(tools=[FakeTool("done", act)], settings=RunSettings(done_attempts=3))
    model = ScriptedModel("\n---\n".join(f'call done {{"n": {n}}}' for n in range(9)))
    ended = await rig.run(model)
    assert (ended.status, len(model.requests)) == ("failed", 3)


async def test_nothing_runs_after_a_done_that_holds(make_rig: MakeRig) -> None:
    write = FakeTool("write")
    rig = make_rig(tools=[FakeTool("done"), write])
    ended = await rig.run(ScriptedModel('call done {}\ncall write {"path": "late"}'))
    assert ended.status == "done"
    assert write.ran == []
    assert [outcome.status for outcome in rig.outcomes] == ["done", "invalid"]


async def test_words_alone_do_not_end_a_run_whose_checks_fail(make_rig: MakeRig) -> None:
    objections = iter(["tests fail", ""])

    async def finish(said: str) -> str:
        return next(objections)

    rig = make_rig(finish=finish)
    ended = await rig.run(ScriptedModel("text I think it works.\n---\ntext Now it does."))
    assert ended == Ended("done", "Now it does.")
    assert rig.topics == ["not done yet"]


async def test_words_alone_fail_after_as_many_attempts_as_done(make_rig: MakeRig) -> None:
    async def finish(said: str) -> str:
        return "tests fail"

    rig = make_rig(finish=finish, settings=RunSettings(done_attempts=2))
    model = ScriptedModel("\n---\n".join(["text It works."] * 5))
    assert (await rig.run(model)).status == "failed"
    assert len(model.requests) == 2


async def test_what_the_user_types_meanwhile_comes_after_the_results(make_rig: MakeRig) -> None:
    typed = iter([[], ["not that file"], []])
    rig = make_rig(tools=[LOOK], steering=lambda: next(typed))
    model = ScriptedModel("call look {}\n---\ntext ok")
    await rig.run(model)
    assert model.requests[1].messages[-1] == UserMessage("not that file")


async def test_ids_used_twice_are_told_apart(make_rig: MakeRig) -> None:
    rig = make_rig(tools=[LOOK])
    model = ScriptedModel(
        'call#0 look {"n": 1}\ncall#0 look {"n": 2}\n---\ncall#0 look {"n": 3}\n---\ncall# look {"n": 4}\n---\ntext ok'
    )
    await rig.run(model)
    assert well_formed(model.requests[-1].messages) == []
    assert [outcome.text for outcome in rig.outcomes] == [f'ok {{"n": {n}}}' for n in (1, 2, 3, 4)]
    assert len({outcome.call_id for outcome in rig.outcomes}) == 4


def test_a_made_up_id_does_not_meet_one_that_is_there() -> None:
    records = [answered(1, ToolCall("a", "look", ""), ToolCall("a-2", "look", ""))]
    assert [part.id for part in distinct([ToolCall("a", "look", "")], records) if isinstance(part, ToolCall)] == ["a-3"]


def test_groups_of_calls_end_with_done() -> None:
    calls = [ToolCall(str(n), name, "") for n, name in enumerate(["edit", "done", "done", "edit"])]
    assert [[call.id for call in group] for group in up_to_done(calls)] == [["0", "1"], ["2"], ["3"]]
    assert up_to_done([]) == []


@pytest.mark.parametrize("faults", [(), ("cut",), ("length",), ("same_ids",), ("cut", "length", "same_ids")])
@pytest.mark.parametrize("seed", range(6))
async def test_however_badly_an_answer_is_told_every_request_is_well_formed(
    make_rig: MakeRig, seed: int, faults: tuple[str, ...]
) -> None:
    rig = make_rig(tools=[LOOK], settings=RunSettings(max_turns=12, loop_stop=99, format_errors=99))
    count = iter(range(1000))
    blocks = [
        'text Ähm…\ncall look {"n": 1}\ncall look {"n": 2}',
        "think so\nopaque sig\ncall look {}",
        "text \ncall fly {}",
    ]

    def respond(request: Request) -> Answer:
        return answers(blocks[next(count) % len(blocks)])[0]

    inner = ScriptedModel(respond)
    ended = await rig.run(ChaoticModel(inner, seed, faults=frozenset(faults)))
    assert ended.status in ("budget", "no_model")
    for request in inner.requests:
        assert well_formed(request.messages) == []
    calls = [c.id for r in rig.of(Assistant) if not r.failure for c in AssistantMessage(r.parts).calls]
    assert sorted(calls) == sorted(outcome.call_id for outcome in rig.outcomes)


async def test_overflow_is_met_by_one_summary_and_one_more_try(make_rig: MakeRig) -> None:
    rig = make_rig(tools=[LOOK], settings=RunSettings(compact_keep_tokens=50))
    model = ScriptedModel(f"{LONG}\n---\nfail overflow too long\n---\ntext Goal: g.\n---\ntext done")
    assert (await rig.run(model)).status == "done"
    assert len(rig.of(Summary)) == 1
    assert rig.heard(Compacted)[0].tier == 2


async def test_overflow_after_a_summary_ends_the_run_plainly(make_rig: MakeRig) -> None:
    rig = make_rig(tools=[LOOK], settings=RunSettings(compact_keep_tokens=50))
    model = ScriptedModel(f"{LONG}\n---\nfail overflow a\n---\ntext Goal: g.\n---\nfail overflow b")
    ended = await rig.run(model)
    assert (ended.status, "even after compaction" in ended.detail) == ("failed", True)


async def test_overflow_that_no_summary_can_help_ends_the_run_plainly(make_rig: MakeRig) -> None:
    ended = await make_rig().run(ScriptedModel("fail overflow too long"))
    assert (ended.status, "can't be shortened" in ended.detail) == ("failed", True)


async def test_a_run_killed_after_its_last_words_ends_with_them_when_resumed(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.log.append(Assistant(1, (TextPart("The answer is 4."),), "end", None, None))
    rig.reopen()
    model = ScriptedModel("text never asked")
    assert await rig.run(model) == Ended("done", "The answer is 4.")
    assert model.requests == []


async def test_a_run_killed_after_done_held_is_done_when_resumed(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.log.append(Assistant(1, (ToolCall("c1", "done", "{}"),), "tool_calls", None, None))
    rig.log.append(Outcome("c1", "done", "done", "Fixed."))
    rig.reopen()
    assert await rig.run(ScriptedModel("text never asked")) == Ended("done", "Fixed.")


async def test_a_resumed_run_never_ends_its_request_with_the_models_own_words(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.log.append(Assistant(1, (TextPart("I could not."),), "end", None, None))
    rig.log.append(Ended("failed", "I could not."))
    rig.reopen()
    model = ScriptedModel("text Now I could.")
    assert (await rig.run(model)).summary == "Now I could."
    assert GO_ON in model.requests[0].messages[-1].text
    assert rig.of(Fragment)[0].topic == "going on"


async def test_counts_of_failures_start_anew_when_a_person_speaks(make_rig: MakeRig) -> None:
    rig = make_rig(tools=[LOOK])
    first = await rig.run(ScriptedModel("\n---\n".join(["call look {"] * 3)))
    rig.log.append(first)
    rig.log.append(User("Try again."))
    rig.reopen()
    assert (await rig.run(ScriptedModel('call look {\n---\ncall look {"n": 1}\n---\ntext done'))).status == "done"


async def test_a_small_context_is_kept_within_its_bounds(make_rig: MakeRig) -> None:
    async def act(args: object, ctx: object, progress: object) -> Result:
        return Result("line of output\n" * 200)

    rig = make_rig(tools=[FakeTool("look", act)], settings=RunSettings(max_turns=40))
    caps = Caps(context_tokens=8_000, output_tokens=1_000)
    sizes = []
    count = iter(range(1000))

    def respond(request: Request) -> Answer:
        messages = request.messages
        sizes.append(sum(len(str(message)) for message in messages) // 4)
        if isinstance(messages[-1], UserMessage) and "must be shortened" in messages[-1].text:
            return [TextDelta("Goal: go on. Next: look."), Done("end", None)]
        return answers(f'call look {{"n": {next(count)}}}\nno-usage')[0]

    ended = await rig.run(ScriptedModel(respond, caps=caps))
    assert (ended.status, "max_turns" in ended.detail) == ("budget", True)
    assert max(sizes) < 8_000
