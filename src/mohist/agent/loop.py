"""The turn loop: ask the model, run what it asks for, until it is done.

One turn: guards -> view -> model -> Assistant -> calls -> Outcomes. The loop holds no state of its
own: everything it decides by is in the log, so a run that was killed goes on from its log alone.
Steps of a turn, in order; each may end the run:

1. bounds: turns, money (time is bounded by the owner's deadline)
2. context: stub old results, or summarise
3. model call, with the recovery table for failures
4. an answer without calls is the end, after the completion gate
5. calls, with the guards against malformed calls and circles
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from mohist.agent import compaction, recovery, watch
from mohist.agent.answer import Answer, assemble
from mohist.agent.execute import Executor
from mohist.agent.log import RunLog
from mohist.agent.record import Assistant, Ended, Fragment, Outcome, Record, User
from mohist.agent.setting import RunSettings
from mohist.agent.view import View, view
from mohist.base import Clock
from mohist.event import Compacted, EventSink, ModelAnswered, ModelRetry, ModelWaiting, Note, TextSpoken
from mohist.provider.message import AssistantMessage, Done, Failed, Part, Provider, Request, ToolCall, ToolSpec, Usage

CUT_OFF = (
    "Not run: your answer was cut off at the output limit, so the call may be incomplete. "
    "Send it again in smaller pieces: fewer calls at once, long files written in several edits."
)


AFTER_DONE = "Not run: done stands before it in your answer, and it held, so the run has ended."

GO_ON = "The run was stopped and goes on now. Go on with the task, or call done."


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a run, from its log."""

    turns: int
    usage: Usage
    cost_microusd: int | None
    """None as soon as one call's price is unknown."""


def totals(records: list[Record]) -> Totals:
    """What the run has used so far, failed calls included."""
    turns, usage, cost = 0, Usage(), 0
    known = True
    for record in records:
        if isinstance(record, Assistant):
            turns += not record.failure
            usage += record.usage or Usage()
            if record.cost_microusd is not None:
                cost += record.cost_microusd
            elif record.usage is not None or not record.failure:
                known = False
    return Totals(turns, usage, cost if known else None)


@dataclass(slots=True)
class Loop:
    """One run at work."""

    log: RunLog
    provider: Provider
    wire_model: str
    executor: Executor
    settings: RunSettings
    emit: EventSink
    clock: Clock
    sleep: Callable[[float], Awaitable[None]]
    finish: Callable[[str], Awaitable[str]]
    """The completion gate for an answer without calls: "" when it holds, else what to tell the model."""
    live_state: Callable[[], str] = field(default=lambda: "")
    """Plan and running jobs, said again after a summary."""
    steering: Callable[[], list[str]] = field(default=list)
    """What the user typed meanwhile."""
    spent_beside: Callable[[], int | None] = field(default=lambda: 0)
    """Millionths of a US dollar that others spend of the same budget: the run and its other sub-agents."""

    async def run(self) -> Ended:
        """Turns until the run ends; the ending is returned, not yet logged."""
        ended = await self._pick_up()
        while ended is None:
            for text in self.steering():
                self.log.append(User(text))
            bound = self._bounds()
            if bound is not None:
                return bound
            answered = await self._ask()
            if isinstance(answered, Ended):
                return answered
            message = AssistantMessage(answered.parts)
            if message.calls:
                ended = await self._call(message.calls, CUT_OFF if answered.stop == "length" else "")
            else:
                ended = await self._without_calls(message, answered)
        return ended

    async def _pick_up(self) -> Ended | None:
        """What a killed process had left to do after its last answer; only after a resume is there anything."""
        records = self.log.records
        for number in range(len(records) - 1, -1, -1):
            match records[number]:
                case Outcome(tool="done", status="done", text=text):
                    return Ended("done", text)
                case Ended():
                    break
                case Assistant(parts=parts, failure="") as answered:
                    message = AssistantMessage(parts)
                    if not message.calls:
                        return await self._without_calls(message, answered)
                    return None
                case User() | Fragment():
                    return None
        messages = view(records).messages
        if messages and isinstance(messages[-1], AssistantMessage):
            # Some endpoints take a last word of the model for the start of its next answer.
            self.log.append(Fragment("going on", GO_ON))
        return None

    async def _call(self, calls: tuple[ToolCall, ...], refusal: str) -> Ended | None:
        ended: Ended | None = None
        outcomes: list[Outcome] = []
        for group in up_to_done(calls):
            # What comes after a "done" that holds would change what was checked.
            for outcome in await self.executor.execute(group, AFTER_DONE if ended else refusal):
                outcomes.append(outcome)
                if outcome.tool == "done" and outcome.status == "done":
                    ended = Ended("done", outcome.text)
        return ended or self._guards(outcomes)

    def _bounds(self) -> Ended | None:
        records = self.log.records
        # A run that has ended and goes on has its turns anew; the money counts over all of it.
        legs = [number for number, record in enumerate(records) if isinstance(record, Ended)]
        turns = totals(records[legs[-1] :] if legs else records).turns
        if turns >= self.settings.max_turns:
            return Ended("budget", "", f"Stopped after {turns} turns (max_turns). Go on with: mohist runs resume")
        so_far = totals(records)
        limit = self.settings.max_cost_microusd
        if limit is not None:
            beside = self.spent_beside()
            if so_far.cost_microusd is None or beside is None:
                return Ended("budget", "", "The price of a call is not known, so the budget can't be held.")
            spent = so_far.cost_microusd + beside
            if spent >= limit:
                return Ended("budget", "", f"The budget is spent: {spent / 1e6:.4f} of {limit / 1e6:.4f} USD.")
        return None

    def _request(self, current: View) -> Request:
        header = self.log.header
        tools = tuple(ToolSpec(tool["name"], tool["description"], tool["parameters"]) for tool in header.tools)
        return Request(
            model=self.wire_model,
            system=header.system,
            messages=current.messages,
            tools=tools,
            max_output_tokens=self.provider.caps.output_tokens,
            session_id=header.run_id,
        )

    async def _ask(self) -> Assistant | Ended:
        """One whole answer, logged; or how the run ends for want of one."""
        attempt, compacted = 0, False
        current, used = await self._fit()
        turn = totals(self.log.records).turns + 1
        while True:
            request = self._request(current)
            self.emit(ModelWaiting(turn, used))
            started_s = self.clock.monotonic_s()
            answer = await assemble(
                self.provider.stream(request), lambda text, thinking: self.emit(TextSpoken(text, thinking))
            )
            record = self._record(turn, answer, round((self.clock.monotonic_s() - started_s) * 1000))
            self.log.append(record)
            if isinstance(answer.end, Done):
                self._tell(record)
                return record
            attempt += 1
            step = recovery.next_step(answer.end, attempt, compacted, self.settings)
            match step:
                case recovery.Wait(seconds):
                    self.emit(ModelRetry(answer.end.kind, answer.end.detail, attempt, seconds))
                    await self.sleep(seconds)
                case recovery.CompactFirst():
                    compacted = True
                    if not await self._compact():
                        return Ended(
                            "failed", "", f"The request is too long and can't be shortened: {answer.end.detail}"
                        )
                    current, used = self._measured()
                case recovery.Stop(status, why):
                    return Ended(status, "", why)

    def _record(self, turn: int, answer: Answer, duration_ms: int) -> Assistant:
        end = answer.end
        parts = distinct(answer.parts, self.log.records)
        cost = self.provider.cost_microusd(end.usage) if end.usage is not None else None
        if isinstance(end, Failed):
            return Assistant(turn, parts, "", end.usage, cost, "", f"{end.kind}: {end.detail}", duration_ms)
        return Assistant(turn, parts, end.stop, end.usage, cost, end.model, "", duration_ms)

    def _tell(self, record: Assistant) -> None:
        usage = record.usage or Usage()
        so_far = totals(self.log.records)
        share = 100 * usage.cache_read_tokens // usage.prompt_tokens if usage.prompt_tokens else 0
        self.emit(
            ModelAnswered(
                record.turn,
                usage.input_tokens,
                usage.cache_read_tokens,
                usage.cache_write_tokens,
                usage.output_tokens,
                record.cost_microusd,
                so_far.usage.prompt_tokens,
                so_far.usage.output_tokens,
                so_far.cost_microusd,
                share,
            )
        )

    async def _without_calls(self, message: AssistantMessage, answered: Assistant) -> Ended | None:
        if answered.stop == "refusal":
            return Ended("failed", message.text, "The model declined to go on.")
        if not message.text.strip():
            empty = watch.empty_answers(self.log.records)
            if empty > self.settings.empty_answers:
                return Ended("failed", "", f"The model gave {empty} empty answers in a row.")
            self.log.append(Fragment("empty answer", "Your answer was empty. Go on with the task, or call done."))
            return None
        if answered.stop == "length":
            self.log.append(Fragment("cut off", "Your answer was cut off at the output limit. Go on, more briefly."))
            return None
        objection = await self.finish(message.text)
        if objection:
            self.log.append(Fragment(watch.NOT_DONE, objection))
            return self._refused_too_often(message.text)
        return Ended("done", message.text)

    def _refused_too_often(self, said: str) -> Ended | None:
        refused = watch.refusals_of_done(self.log.records)
        if refused < self.settings.done_attempts:
            return None
        return Ended("failed", said, f"The checks did not hold {refused} times.")

    def _guards(self, outcomes: list[Outcome]) -> Ended | None:
        if watch.format_errors(self.log.records) >= self.settings.format_errors:
            return Ended(
                "failed",
                "",
                f"The model sent malformed calls {self.settings.format_errors} times in a row: {outcomes[-1].text}",
            )
        if any(outcome.tool == "done" for outcome in outcomes):
            refused = self._refused_too_often("")
            if refused is not None:
                return refused
        same = watch.repeats(self.log.records)
        if same >= self.settings.loop_stop:
            return Ended("failed", "", f"The model made the same call with the same result {same} times.")
        if same >= self.settings.loop_nudge and same % self.settings.loop_nudge == 0:
            text = (
                f"You have made the same call with the same result {same} times. It will not change; try another way."
            )
            self.log.append(Fragment("going in circles", text))
            self.emit(Note(text))
        return None

    def _measured(self) -> tuple[View, int]:
        """What the next request holds and about how many tokens that is. The costliest step of a turn."""
        records, header = self.log.records, self.log.header
        current = view(records)
        return current, compaction.used_tokens(records, current, compaction.prefix_tokens(header.system, header.tools))

    async def _fit(self) -> tuple[View, int]:
        """Shortens the view before it is too long; returns it with its tokens."""
        context = self.provider.caps.context_tokens
        current, used = self._measured()
        if used * 100 >= self.settings.prune_at_percent * context:
            keep = compaction.kept_tokens(self.settings, context)
            pruned = compaction.prune(self.log.records, current, self.settings, keep)
            if pruned is not None:
                self.log.append(pruned)
                before, (current, used) = used, self._measured()
                self.emit(Compacted(1, before, used))
        if used * 100 >= self.settings.compact_at_percent * context:
            await self._compact()
            current, used = self._measured()
        return current, used

    async def _compact(self) -> bool:
        """Tier 2; False when it is not possible or has failed too often."""
        if compaction.failures(self.log.records) >= self.settings.compact_failures:
            return False
        written = await compaction.summarise(
            self.provider, self._request(view(self.log.records)), self.log.records, self.settings, self.live_state()
        )
        usage = written.usage
        if usage is not None:
            # The call is paid for, so it is in the log, but the view leaves it out.
            self.log.append(Assistant(0, (), "", usage, self.provider.cost_microusd(usage), "", "summary", 0))
        if written.summary is None:
            self.log.append(
                Fragment(compaction.FAILED_TOPIC, f"The conversation is long; shortening it failed: {written.why}.")
            )
            self.emit(Note(f"compaction failed: {written.why}"))
            return False
        self.log.append(written.summary)
        self.emit(Compacted(2, written.summary.before_tokens, view(self.log.records).tokens))
        return True


def up_to_done(calls: Sequence[ToolCall]) -> list[tuple[ToolCall, ...]]:
    """The calls in their order, in groups that end with a `done` (the last one need not)."""
    groups: list[list[ToolCall]] = [[]]
    for call in calls:
        groups[-1].append(call)
        if call.name == "done":
            groups.append([])
    return [tuple(group) for group in groups if group]


def distinct(parts: Sequence[Part], records: Sequence[Record]) -> tuple[Part, ...]:
    """The parts, each call with an id that no other call of the run has.

    Some endpoints count their ids anew in each answer; a result is found by its id over the whole log.
    """
    if not any(isinstance(part, ToolCall) for part in parts):
        return tuple(parts)
    used = {
        part.id
        for record in records
        if isinstance(record, Assistant)
        for part in record.parts
        if isinstance(part, ToolCall)
    }
    found: list[Part] = []
    for part in parts:
        if isinstance(part, ToolCall):
            call_id, count = part.id or "call", 1
            while call_id in used:
                count += 1
                call_id = f"{part.id or 'call'}-{count}"
            used.add(call_id)
            found.append(ToolCall(call_id, part.name, part.arguments))
        else:
            found.append(part)
    return tuple(found)
