"""Circles and failures are counted over what matters."""

from __future__ import annotations

from rig import answered

from mohist.agent import watch
from mohist.agent.record import Ended, FileChange, Fragment, Outcome, Record, User
from mohist.provider.message import TextPart, ToolCall

COUNT = iter(range(10_000))


def called(name: str, result: str = "same", *, arguments: str = "{}", wrote: bool = False) -> list[Record]:
    call = ToolCall(f"c{next(COUNT)}", name, arguments)
    written = (FileChange("/w/a", "x", "y"),) if wrote else ()
    return [answered(1, call), Outcome(call.id, name, "done", result, written=written)]


def test_a_test_that_fails_the_same_way_after_each_new_edit_is_no_circle() -> None:
    records: list[Record] = []
    for number in range(10):
        records += called("edit", "edited", arguments=f'{{"n": {number}}}', wrote=True)
        records += called("shell", "1 failed")
    assert watch.repeats(records) == 1


def test_edits_that_go_to_and_fro_are_a_circle() -> None:
    records: list[Record] = []
    for _ in range(6):
        records += called("edit", "to", arguments="1", wrote=True) + called("edit", "fro", arguments="2", wrote=True)
    assert watch.repeats(records) == 6


def test_a_word_of_the_user_or_an_end_starts_the_count_anew() -> None:
    for between in (User("again"), Ended("failed", "")):
        records = [*called("look"), *called("look"), between, *called("look")]
        assert watch.repeats(records) == 1


def test_only_the_newest_answer_counts() -> None:
    assert watch.repeats([*called("look"), *called("look"), *called("look", "other")]) == 1
    assert watch.repeats([]) == 0


def test_a_failed_answer_between_malformed_ones_does_not_break_their_row() -> None:
    call = ToolCall("m", "look", "{")
    bad: list[Record] = [answered(1, call), Outcome("m", "look", "invalid", "not JSON")]
    assert watch.format_errors([*bad, answered(1, TextPart("x"), failure="network: cut"), *bad]) == 2
    assert watch.format_errors([*bad, answered(1, TextPart("x")), *bad]) == 1


def test_refusals_of_done_count_by_word_and_by_call() -> None:
    refused = Outcome("d", "done", "failed", "tests fail")
    assert watch.refusals_of_done([refused, Fragment(watch.NOT_DONE, "x"), refused]) == 3
    assert watch.refusals_of_done([refused, User("try on"), refused]) == 1
