"""Recording a run's model calls and answering from the recording elsewhere."""

from __future__ import annotations

import errno
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mohist.provider import (
    Answer,
    AssistantMessage,
    CallArguments,
    CallReady,
    CallStarted,
    Caps,
    Delta,
    Done,
    Failed,
    Message,
    Recorder,
    RecordingError,
    Replay,
    Request,
    Substitution,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolMessage,
    ToolSpec,
    Usage,
    UserMessage,
    closing,
)

GOLDEN = Path(__file__).parent / "golden" / "recording-v1.jsonl"
TOOLS = (ToolSpec("read", "Reads.", {}), ToolSpec("shell", "Runs.", {}))


class Scripted:
    """Answers call N with the deltas of entry N."""

    name = "acme/model"
    caps = Caps(context_tokens=50_000, cache="marks", keep_thinking=True, quirks=frozenset({"bearer"}))

    def __init__(self, answers: Sequence[Sequence[Delta]]) -> None:
        self._answers = list(answers)

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        for delta in self._answers.pop(0):
            yield delta

    def cost_microusd(self, usage: Usage) -> int | None:
        return 5

    async def aclose(self) -> None:
        """Nothing is open."""


def machine(workspace: str) -> Substitution:
    return Substitution({workspace: "${WORKSPACE}", "/home/" + workspace.strip("/").replace("/", "-"): "${HOME}"})


def call(call_id: str, name: str, *fragments: str) -> list[Delta]:
    return [
        CallStarted(call_id, name),
        *(CallArguments(call_id, fragment) for fragment in fragments),
        CallReady(ToolCall(call_id, name, "".join(fragments))),
    ]


def scripted(workspace: str) -> Scripted:
    middle = len(workspace) // 2
    return Scripted(
        [
            [
                ThinkingDelta("look "),
                ThinkingDelta("first"),
                ThinkingDelta("", "c2ln"),
                TextDelta("In " + workspace[:middle]),
                TextDelta(workspace[middle:] + " I look at ${WORKSPACE}."),
                *call("c1", "read", f'{{"path": "{workspace[:middle]}', f'{workspace[middle:]}/a.py"}}'),
                *call("c2", "shell", '{"command": "pytest -q"}'),
                Done("tool_calls", Usage(100, 20, 3, 7), "model-2026"),
            ],
            [Failed("overload", "busy", 0.5, 529)],
            [TextDelta("Fixed in 0.3 s."), Done("end", Usage(10, 120, 0, 9), "model-2026")],
        ]
    )


def tool_result(workspace: str, duration: str, call: ToolCall) -> ToolMessage:
    if call.name == "read":
        return ToolMessage(call.id, f"{json.loads(call.arguments)['path']}: x = 1")
    return ToolMessage(call.id, f"{workspace}/a.py failed\n==== 1 failed in {duration} ====", is_error=True)


async def turn(provider: Recorder | Replay, messages: list[Message], tools=TOOLS) -> Answer:
    answer = Answer([delta async for delta in provider.stream(Request("m", "sys", tuple(messages), tools))])
    if isinstance(answer.end, Done):
        messages.append(answer.message)
    return answer


async def run(
    provider: Recorder | Replay,
    workspace: str,
    duration: str = "0.12s",
    change: Callable[[list[Message]], list[Message]] = lambda messages: messages,
) -> list[Answer]:
    """The same little agent on any machine: asks, runs the calls, asks again; tries again after an overload."""
    messages: list[Message] = [UserMessage(f"Fix {workspace}/a.py. Today is 2026-11-{len(workspace):02}.")]
    first = await turn(provider, messages)
    messages += [tool_result(workspace, duration, call) for call in first.message.calls]
    messages = change(messages)
    second = await turn(provider, messages)
    if isinstance(second.end, Failed) and second.end.kind == "overload":
        second = await turn(provider, messages)
    return [first, second]


async def recorded(path: Path, workspace: str = "/home/ann/work") -> list[Answer]:
    return await run(Recorder(scripted(workspace), path, machine(workspace)), workspace)


async def test_a_recorded_run_is_answered_on_another_machine_with_its_own_paths(tmp_path):
    here = await recorded(tmp_path / "r.jsonl")
    replay = Replay(tmp_path / "r.jsonl", machine("/srv/x"), lambda usage: usage.output_tokens)
    there = await run(replay, "/srv/x", "11.3s")

    assert "/home/ann" not in (tmp_path / "r.jsonl").read_text(encoding="utf-8")
    assert there[0].message.text == "In /srv/x I look at ${WORKSPACE}."
    assert there[0].message.calls[0].arguments == '{"path": "/srv/x/a.py"}'
    assert there[0].message.parts[0] == here[0].message.parts[0]
    assert [answer.end for answer in there] == [answer.end for answer in here]
    assert replay.unused == 0
    assert replay.difference is None
    assert replay.caps == Scripted.caps
    assert replay.recorded_name == "acme/model"
    assert replay.cost_microusd(Usage(output_tokens=4)) == 4


async def test_the_format_is_the_one_of_version_1(tmp_path, request):
    await recorded(tmp_path / "r.jsonl")
    assert (tmp_path / "r.jsonl").read_bytes() == GOLDEN.read_bytes()


async def test_a_recording_of_version_1_is_read_for_ever():
    answers = await run(Replay(GOLDEN, machine("/q")), "/q", "9 s")
    assert answers[1].message.text == "Fixed in 0.3 s."


async def test_a_folder_holds_a_recording_too(tmp_path):
    await recorded(tmp_path)
    assert (tmp_path / "turns.jsonl").exists()
    assert isinstance((await run(Replay(tmp_path, machine("/q")), "/q"))[1].end, Done)


def altered(messages: list[Message], position: int, **fields: object) -> list[Message]:
    return [replace(m, **fields) if i == position else m for i, m in enumerate(messages)]


def other_arguments(messages: list[Message]) -> list[Message]:
    answer = messages[1]
    assert isinstance(answer, AssistantMessage)
    parts = [replace(p, arguments="{}") if isinstance(p, ToolCall) and p.id == "c2" else p for p in answer.parts]
    return [messages[0], AssistantMessage(tuple(parts)), *messages[2:]]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (
            lambda m: altered(m, 0, text="Fix /q/b.py. Today is 2026-11-14."),
            "message 1 (user), text, line 1, column 18",
        ),
        (lambda m: altered(m, 2, text="/q/a.py: x = 2"), "message 3 (tool), text, line 1, column 24"),
        (
            lambda m: altered(m, 3, text="/q/a.py failed\n==== 2 failed in 1s ===="),
            "message 4 (tool), text, line 2, column 6",
        ),
        (lambda m: altered(m, 3, is_error=False), "message 4 (tool), is_error"),
        (lambda m: altered(m, 1, parts=()), "message 2 (assistant), "),
        (other_arguments, "message 2 (assistant), call 2, arguments"),
        (lambda m: m[:-1], "the number of messages: 4 recorded, 3 now"),
        (lambda m: [*m, UserMessage("more")], "the number of messages: 4 recorded, 5 now"),
        (lambda m: [*m[:3], UserMessage("x")], "message 4: role 'tool' recorded, 'user' now"),
    ],
    ids=["user", "result", "result-line-2", "error", "answer", "arguments", "less", "more", "role"],
)
async def test_a_request_that_does_not_fit_is_refused_and_says_where(tmp_path, change, where):
    await recorded(tmp_path / "r.jsonl")
    replay = Replay(tmp_path / "r.jsonl", machine("/q"))
    (_, second) = await run(replay, "/q", change=change)

    assert isinstance(second.end, Failed)
    assert second.end.kind == "protocol"
    assert f"turn 2 differs in {where}" in second.end.detail
    assert second.message.parts == ()
    assert replay.difference is not None
    assert replay.difference.recorded != replay.difference.now
    assert replay.unused == 1


async def test_other_tools_do_not_fit(tmp_path):
    await recorded(tmp_path / "r.jsonl")
    replay = Replay(tmp_path / "r.jsonl", machine("/q"))
    end = (await turn(replay, [UserMessage("Fix /q/a.py. Today is 2026-11-14.")], TOOLS[:1])).end
    assert isinstance(end, Failed)
    assert "the tools: none added, shell gone" in end.detail


async def test_a_request_after_the_end_is_refused(tmp_path):
    await recorded(tmp_path / "r.jsonl")
    replay = Replay(tmp_path / "r.jsonl", machine("/q"))
    await run(replay, "/q")
    end = (await turn(replay, [UserMessage("And now?")])).end
    assert isinstance(end, Failed)
    assert "it ends after turn 2" in end.detail


async def test_weather_is_not_recorded_but_other_failures_are(tmp_path):
    weather, overflow = Failed("network", "cut"), Failed("overflow", "too long in /w/x", 1.5, 400, Usage(3, 0, 0, 0))
    recorder = Recorder(Scripted([[TextDelta("I"), weather], [overflow]]), tmp_path / "r", Substitution({"/w": "${W}"}))
    assert (await turn(recorder, [UserMessage("go")])).end == weather
    await turn(recorder, [UserMessage("go")])

    replay = Replay(tmp_path / "r", Substitution({"/v": "${W}"}))
    assert (await turn(replay, [UserMessage("go")])).end == replace(overflow, detail="too long in /v/x")
    assert replay.unused == 0


async def test_the_torso_of_a_call_is_replayed_as_a_torso(tmp_path):
    torso: list[Delta] = [CallStarted("c", "shell"), CallArguments("c", '{"a'), Done("length", None)]
    await turn(Recorder(Scripted([torso]), tmp_path / "r", Substitution()), [UserMessage("go")])
    request = Request("m", "s", (UserMessage("go"),), TOOLS)
    assert [delta async for delta in Replay(tmp_path / "r", Substitution()).stream(request)] == torso


async def test_turns_of_agents_at_the_same_time_are_found_in_any_order(tmp_path):
    recorder = Recorder(
        Scripted([[TextDelta(name), Done("end", None)] for name in ("one", "two")]), tmp_path / "r", Substitution()
    )
    for name in ("one", "two"):
        await turn(recorder, [UserMessage(name)])
    replay = Replay(tmp_path / "r", Substitution())
    for name in ("two", "one"):
        assert (await turn(replay, [UserMessage(name)])).message.text == name


async def test_a_turn_that_was_left_early_is_answered_again(tmp_path):
    await recorded(tmp_path / "r.jsonl")
    replay = Replay(tmp_path / "r.jsonl", machine("/q"))
    request = Request("m", "sys", (UserMessage("Fix /q/a.py. Today is 2026-11-02."),), TOOLS)
    async with closing(replay.stream(request)) as stream:
        async for _ in stream:
            break
    assert replay.unused == 2
    assert isinstance((await run(replay, "/q"))[1].end, Done)


async def test_a_resumed_run_continues_its_recording(tmp_path):
    answers = [[TextDelta(name), Done("end", None)] for name in ("one", "two")]
    for number, answer in enumerate(answers):
        recorder = Recorder(Scripted([answer]), tmp_path / "r", Substitution())
        await turn(recorder, [UserMessage(str(number))])
    resumed = Replay(tmp_path / "r", Substitution())
    assert (await turn(resumed, [UserMessage("1")])).message.text == "two"


async def test_what_is_a_path_here_and_was_none_there_still_fits(tmp_path):
    recorder = Recorder(
        Scripted([[TextDelta("see /srv/x"), Done("end", None)], [TextDelta("ok"), Done("end", None)]]),
        tmp_path / "r",
        machine("/home/ann"),
    )
    replay = None
    for provider in (recorder, replay):
        provider = provider or Replay(tmp_path / "r", machine("/srv/x"))
        messages: list[Message] = [UserMessage("go")]
        await turn(provider, messages)
        messages.append(UserMessage("and /srv/x?"))
        assert (await turn(provider, messages)).message.text == "ok"


async def test_only_what_is_new_is_written(tmp_path):
    recorder = Recorder(
        Scripted([[TextDelta("answer"), Done("end", None)] for _ in range(3)]), tmp_path / "r", Substitution()
    )
    messages: list[Message] = [UserMessage("x" * 1000)]
    for _ in range(3):
        await turn(recorder, messages)
        messages.append(UserMessage("on"))
    assert (tmp_path / "r").read_text(encoding="utf-8").count("x" * 1000) == 1
    lines = [json.loads(line) for line in (tmp_path / "r").read_text(encoding="utf-8").splitlines()[1:]]
    assert [(line["base"], line["same"]) for line in lines] == [(0, 0), (1, 1), (2, 3)]


def test_a_missing_recording_is_told(tmp_path):
    with pytest.raises(RecordingError, match="can't be read: No such file"):
        Replay(tmp_path / "none", Substitution())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:-1], "torn at line 3"),
        (lambda text: text.replace('"version":1', '"version":2'), "version 2"),
        (lambda text: text.replace("mohist-recording", "other"), "is not a recording"),
        (lambda text: "", "is not a recording"),
        (lambda text: text.replace('"turn":2', '"turn":3'), "Line 3 .* malformed"),
        (lambda text: text.replace('"same":1', '"same":9'), "Line 3 .* malformed"),
        (lambda text: text.replace('"done"', '"gone"', 1), "Line 2 .* malformed"),
        (lambda text: "[]\n", "Line 1 .* malformed"),
        (lambda text: "\n" + text, "Line 1 .* malformed"),
    ],
)
async def test_a_damaged_recording_is_refused_with_its_line(tmp_path, damage, message):
    await recorded(tmp_path / "r.jsonl")
    (tmp_path / "r.jsonl").write_text(damage((tmp_path / "r.jsonl").read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(RecordingError, match=message):
        Replay(tmp_path / "r.jsonl", Substitution())


async def test_a_full_disk_fails_the_call_and_not_silently(tmp_path, monkeypatch):
    recorder = Recorder(scripted("/w"), tmp_path / "r", Substitution())

    def full(*_: object, **__: object) -> object:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Path, "open", full)
    end = (await turn(recorder, [UserMessage("go")])).end
    assert end == Failed("unknown", "the recording can't be written: No space left on device")


def test_a_place_that_can_hold_no_recording_is_refused(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(RecordingError, match="can't be written"):
        Recorder(scripted("/w"), tmp_path / "file" / "r", Substitution())


async def test_a_recorder_is_the_provider_it_wraps(tmp_path):
    recorder = Recorder(scripted("/w"), tmp_path / "r", Substitution())
    assert (recorder.name, recorder.caps, recorder.cost_microusd(Usage())) == ("acme/model", Scripted.caps, 5)
    await recorder.aclose()
