"""Sub-agents share one budget, and what they use is on the run's record."""

from __future__ import annotations

from pathlib import Path

from fakes.clock import FakeClock
from mohist.agent.log import RunLog
from mohist.agent.loop import totals
from mohist.agent.record import Assistant, Header, Outcome, User
from mohist.app.child import LOOKING, Children, as_progress
from mohist.event import ToolFinished, ToolStarted
from mohist.provider.message import Usage


def _log(folder: Path, run_id: str, clock: FakeClock, parent: str = "") -> RunLog:
    header = Header(run_id, "task", "model", "auto", "/w", "/w", "", "system", (), "sandbox", "none", parent_run=parent)
    return RunLog.create(folder, header, clock)


def _spend(log: RunLog, cost: int | None) -> None:
    log.append(Assistant(1, (), "end", Usage(10, 0, 0, 5), cost))


def test_each_sub_agent_sees_what_the_run_and_the_others_spend(tmp_path: Path, clock: FakeClock) -> None:
    children = Children(tmp_path / "run")
    with _log(tmp_path / "run", "run", clock) as parent:
        children.adopt(parent)
        _spend(parent, 100)
        with (
            _log(children.place()[1], "run.1", clock, "run") as one,
            _log(tmp_path / "b", "run.2", clock, "run") as two,
        ):
            children.begin(one)
            children.begin(two)
            _spend(one, 20)
            _spend(two, 3)
            assert children.spent_beside(one) == 103
            assert children.spent_beside(two) == 120
            assert children.spent_beside(parent) == 23


def test_what_a_sub_agent_used_is_counted_once_when_it_has_ended(tmp_path: Path, clock: FakeClock) -> None:
    children = Children(tmp_path / "run")
    with _log(tmp_path / "run", "run", clock) as parent, _log(children.place()[1], "run.1", clock, "run") as child:
        children.adopt(parent)
        children.begin(child)
        _spend(child, 20)
        children.end(child, 1)
        assert totals(parent.records).cost_microusd == 20
        assert totals(parent.records).usage == Usage(10, 0, 0, 5)
        assert totals(parent.records).turns == 0
        assert children.spent_beside(parent) == 0


def test_an_unknown_price_is_not_taken_as_nothing(tmp_path: Path, clock: FakeClock) -> None:
    children = Children(tmp_path / "run")
    with _log(tmp_path / "run", "run", clock) as parent, _log(children.place()[1], "run.1", clock, "run") as child:
        children.adopt(parent)
        children.begin(child)
        _spend(child, None)
        assert children.spent_beside(parent) is None


def test_what_their_tools_gave_is_known_to_a_run_that_goes_on(tmp_path: Path, clock: FakeClock) -> None:
    children = Children(tmp_path / "run")
    assert list(children.outcomes()) == []
    told = [Outcome(f"c{number}", "read", "done", f"text {number}") for number in range(11)]
    for outcome in told:
        with _log(children.place()[1], "run.n", clock, "run") as log:
            log.append(User("a prompt"))
            log.append(outcome)
    children.place()[1].mkdir()
    assert list(Children(tmp_path / "run").outcomes()) == told


def test_numbers_of_an_earlier_process_are_not_used_again(tmp_path: Path, clock: FakeClock) -> None:
    first = Children(tmp_path / "run").place()
    _log(first[1], "run.1", clock, "run").close()
    assert Children(tmp_path / "run").place()[0] == first[0] + 1


def test_a_sub_agents_calls_show_as_progress_with_what_they_were_and_what_came_of_them() -> None:
    seen: list[str] = []
    sink = as_progress(lambda _event: None, seen.append)
    sink(ToolStarted("a", "read", "read src/a.py"))
    sink(ToolStarted("b", "search", "search 'x'"))
    sink(ToolFinished("b", "search", True, "3 lines", 1))
    sink(ToolFinished("a", "read", True, "read src/a.py", 1))
    sink(ToolFinished("c", "shell", False, "denied: $ rm -r a", 0))
    assert seen == [
        "sub-agent: search 'x' → 3 lines",
        "sub-agent: read src/a.py",
        "sub-agent: shell → denied: $ rm -r a",
    ]


def test_a_sub_agent_that_only_looks_is_not_offered_tools_that_write() -> None:
    assert not LOOKING & {"edit", "write"}
