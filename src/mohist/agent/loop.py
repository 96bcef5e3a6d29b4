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

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from mohist.agent import compaction, recovery, watch
from mohist.agent.answer import Answer, assemble
from mohist.agent.execute import Executor
from mohist.agent.log import RunLog
from mohist.agent.record import Assistant, Ended, Fragment, Outcome, Record, User
from mohist.agent.setting import RunSettings
from mohist.agent.view import view
from mohist.base import Clock
from mohist.event import Compacted, EventSink, ModelAnswered, ModelRetry, ModelWaiting, Note, TextSpoken
from mohist.provider.message import AssistantMessage, Done, Failed, Provider, Request, ToolSpec, Usage

CUT_OFF = (
    "Not run: your answer was cut off at the output limit, so the call may be incomplete. "
    "Send it again in smaller pieces: fewer calls at once, long files written in several edits."
)


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

    async def run(self) -> Ended:
        """Turns until the run ends; the ending is returned, not yet logged."""
        while True:
            for text in self.steering():
                self.log.append(User(text))
            bound = self._bounds()
            if bound is not None:
                return bound
            answered = await self._ask()
            if isinstance(answered, Ended):
                return answered
            message = AssistantMessage(answered.parts)
            if not message.calls:
                ended = await self._without_calls(message, answered)
                if ended is not None:
                    return ended
                continue
            refusal = CUT_OFF if answered.stop == "length" else ""
            outcomes = await self.executor.execute(message.calls, refusal)
            for outcome in outcomes:
                if outcome.tool == "done" and outcome.status == "done":
                    return Ended("done", outcome.text)
            ended = self._guards(outcomes)
            if ended is not None:
                return ended

    def _bounds(self) -> Ended | None:
        so_far = totals(self.log.records)
        if so_far.turns >= self.settings.max_turns:
            return Ended(
                "budget", "", f"Stopped after {so_far.turns} turns (max_turns). Go on with: mohist runs resume"
            )
        limit = self.settings.max_cost_microusd
        if limit is not None:
            if so_far.cost_microusd is None:
                return Ended("budget", "", "The price of a call is not known, so the budget can't be held.")
            if so_far.cost_microusd >= limit:
                spent = so_far.cost_microusd / 1e6
                return Ended("budget", "", f"The budget is spent: {spent:.4f} of {limit / 1e6:.4f} USD.")
        return None

    def _request(self) -> Request:
        header = self.log.header
        tools = tuple(ToolSpec(tool["name"], tool["description"], tool["parameters"]) for tool in header.tools)
        return Request(
            model=self.wire_model,
            system=header.system,
            messages=view(self.log.records).messages,
            tools=tools,
            max_output_tokens=self.provider.caps.output_tokens,
            session_id=header.run_id,
        )

    async def _ask(self) -> Assistant | Ended:
        """One whole answer, logged; or how the run ends for want of one."""
        attempt, compacted = 0, False
        await self._fit()
        while True:
            turn = totals(self.log.records).turns + 1
            request = self._request()
            prefix = compaction.prefix_tokens(request.system, request.tools)
            self.emit(ModelWaiting(turn, compaction.used_tokens(self.log.records, view(self.log.records), prefix)))
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
                case recovery.Stop(status, why):
                    return Ended(status, "", why)

    def _record(self, turn: int, answer: Answer, duration_ms: int) -> Assistant:
        end = answer.end
        cost = self.provider.cost_microusd(end.usage) if end.usage is not None else None
        if isinstance(end, Failed):
            return Assistant(turn, answer.parts, "", end.usage, cost, "", f"{end.kind}: {end.detail}", duration_ms)
        return Assistant(turn, answer.parts, end.stop, end.usage, cost, end.model, "", duration_ms)

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
        if not message.text.strip():
            empty = self._trailing_empty()
            if empty > self.settings.empty_answers:
                return Ended("failed", "", f"The model gave {empty} empty answers in a row.")
            self.log.append(Fragment("empty answer", "Your answer was empty. Go on with the task, or call done."))
            return None
        if answered.stop == "length":
            self.log.append(Fragment("cut off", "Your answer was cut off at the output limit. Go on, more briefly."))
            return None
        if answered.stop == "refusal":
            return Ended("failed", message.text, "The model declined to go on.")
        objection = await self.finish(message.text)
        if objection:
            if self._objections() >= self.settings.done_attempts:
                return Ended("failed", message.text, objection)
            self.log.append(Fragment("not done yet", objection))
            return None
        return Ended("done", message.text)

    def _trailing_empty(self) -> int:
        count = 0
        for record in reversed(self.log.records):
            if isinstance(record, Assistant) and not record.failure:
                message = AssistantMessage(record.parts)
                if message.calls or message.text.strip():
                    break
                count += 1
        return count

    def _objections(self) -> int:
        return sum(isinstance(record, Fragment) and record.topic == "not done yet" for record in self.log.records)

    def _guards(self, outcomes: list[Outcome]) -> Ended | None:
        if watch.format_errors(self.log.records) >= self.settings.format_errors:
            return Ended(
                "failed",
                "",
                f"The model sent malformed calls {self.settings.format_errors} times in a row: {outcomes[-1].text}",
            )
        refused = sum(outcome.tool == "done" and outcome.status == "failed" for outcome in _outcomes(self.log.records))
        if refused >= self.settings.done_attempts:
            return Ended("failed", "", f"The agreed checks failed {refused} times.")
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

    async def _fit(self) -> None:
        """Shortens the view before it is too long."""
        context = self.provider.caps.context_tokens
        request = self._request()
        prefix = compaction.prefix_tokens(request.system, request.tools)
        current = view(self.log.records)
        used = compaction.used_tokens(self.log.records, current, prefix)
        if used * 100 >= self.settings.prune_at_percent * context:
            pruned = compaction.prune(self.log.records, current, self.settings)
            if pruned is not None:
                self.log.append(pruned)
                shorter = view(self.log.records)
                self.emit(Compacted(1, used, prefix + shorter.tokens))
                used = used - current.tokens + shorter.tokens
        if used * 100 >= self.settings.compact_at_percent * context:
            await self._compact()

    async def _compact(self) -> bool:
        """Tier 2; False when it is not possible or has failed too often."""
        failures = sum(
            isinstance(record, Fragment) and record.topic == "compaction failed" for record in self.log.records
        )
        if failures >= self.settings.compact_failures:
            return False
        written = await compaction.summarise(
            self.provider, self._request(), self.log.records, self.settings, self.live_state()
        )
        if isinstance(written, str):
            self.log.append(
                Fragment("compaction failed", f"The conversation is long; shortening it failed: {written}.")
            )
            self.emit(Note(f"compaction failed: {written}"))
            return False
        usage = written.usage
        cost = self.provider.cost_microusd(usage) if usage is not None else None
        # The call is paid for, so it is in the log, but the view leaves it out.
        self.log.append(Assistant(0, (), "", usage, cost, "", "summary", 0))
        self.log.append(written.summary)
        self.emit(Compacted(2, written.summary.before_tokens, view(self.log.records).tokens))
        return True


def _outcomes(records: list[Record]) -> list[Outcome]:
    return [record for record in records if isinstance(record, Outcome)]
