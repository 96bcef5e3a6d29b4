"""Usage reaches the database exactly once, whatever is killed and wherever a line is cut."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gateway_call import add_key, price, record
from hypothesis import given
from hypothesis import strategies as st

import mohist
from fakes.clock import FakeClock
from mohist.base import SystemClock
from mohist.gateway import clerk
from mohist.gateway.address import Address, file_address
from mohist.gateway.budget import Spend
from mohist.gateway.call import Principal
from mohist.gateway.clerk import catch_up
from mohist.gateway.journal import Journal, orphans
from mohist.gateway.keeper import Keeper
from mohist.gateway.key import Key
from mohist.gateway.store import Store, database_path
from mohist.gateway.usage import COLUMNS, UsageRow, flat, from_lines, to_line

ANN = Principal("key-1", "ann")
ROWS = [flat(UsageRow(record(f"call-{number}"), ANN, 19_675, 700, 200)) for number in range(3)]
DATA = b"".join(map(to_line, ROWS))


def calls_of(address: Address) -> int:
    with Store(address) as store:
        return sum(total.calls for total in store.usage("key"))


def test_a_journal_cut_at_any_byte_yields_every_whole_line() -> None:
    ends = list(itertools.accumulate(len(to_line(row)) for row in ROWS))
    for cut in range(len(DATA) + 1):
        rows, damaged = from_lines(DATA[:cut])
        # A line without its line feed is whole all the same: the checksum says so.
        whole = sum(cut >= end - 1 for end in ends)
        assert rows == ROWS[:whole]
        assert damaged == (cut not in {0, *ends, *(end - 1 for end in ends)})


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_a_damaged_byte_spoils_its_own_line_alone(place: int, flip: int) -> None:
    data = bytearray(DATA)
    data[place] ^= flip
    rows, _ = from_lines(bytes(data))
    assert len(rows) >= 1
    assert all(row in ROWS for row in rows)


@given(
    st.builds(
        record,
        call_id=st.text(),
        client=st.text(st.characters()),
        session_id=st.text(st.characters(categories=["Cs", "Cc"])),
        duration_ms=st.integers(),
        cost_microusd=st.none() | st.integers(),
        cancelled=st.booleans(),
    )
)
def test_whatever_a_client_sends_can_be_kept(tmp_path_factory: pytest.TempPathFactory, made: object) -> None:
    row = flat(UsageRow(made, None))
    assert from_lines(to_line(row)) == ([row], 0)
    assert set(row) == set(COLUMNS)
    for value in row.values():
        assert value is None or isinstance(value, int) or value.encode("utf-8") is not None


def left_behind(address: Address, data: bytes, name: str = "gateway-gone") -> Path:
    """The journal of a process that is gone."""
    address.journals.mkdir(exist_ok=True)
    path = address.journals / f"{name}.journal"
    path.write_bytes(data)
    return path


def test_adoption_repeats_nothing_however_often_it_is_killed(address: Address) -> None:
    for _ in range(3):
        path = left_behind(address, DATA)
        catch_up(address)
        assert not path.exists()
    assert calls_of(address) == 3
    with Store(address) as store:
        assert store.spends() == [Spend("key", "key-1", 19_675, 2_100, 600), Spend("user", "ann", 19_675, 2_100, 600)]


def test_the_journal_of_a_program_before_this_one_is_adopted_too(tmp_path: Path) -> None:
    path = tmp_path / "gateway.journal"
    path.write_bytes(DATA)
    catch_up(file_address(database_path(tmp_path)))
    assert calls_of(file_address(database_path(tmp_path))) == 3
    assert not path.exists()


def test_a_journal_line_of_another_version_fills_what_it_knows(address: Address) -> None:
    row = {name: value for name, value in ROWS[0].items() if name != "rule"} | {"invented": 1}
    assert from_lines(to_line(row)) == ([ROWS[0]], 0)


def test_damaged_lines_are_kept_aside(address: Address) -> None:
    path = left_behind(address, DATA[:-20])
    catch_up(address)
    assert calls_of(address) == 2
    assert path.with_suffix(".damaged").read_bytes() == DATA[:-20]
    assert not path.exists()


def test_a_batch_that_fails_leaves_the_database_as_it_was(address: Address) -> None:
    with Store(address) as store:
        with pytest.raises(KeyError):
            store.add_usage([ROWS[0], {**ROWS[1], "day": 1}, {"call_id": "call-9"}])
        assert store.spends() == []
        assert store.add_usage(ROWS) == 3


def test_those_who_ask_while_a_server_runs_leave_its_journal_alone(address: Address, clock: FakeClock) -> None:
    with Keeper(address, price, clock) as keeper:
        keeper.refused(None, record(verdict="auth"))
        assert keeper.flush(10)
        before = set(address.journals.iterdir())
        catch_up(address)
        assert set(address.journals.iterdir()) == before
    assert calls_of(address) == 1


def test_a_living_server_adopts_the_journal_of_one_that_is_gone(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clerk, "_ADOPT_EVERY_S", 0.0)
    with Keeper(address, price, SystemClock(), poll_s=0.01):
        path = left_behind(address, DATA)
        end_s = time.monotonic() + 60
        while path.exists():
            assert time.monotonic() < end_s
            time.sleep(0.01)
        assert calls_of(address) == 3


def test_a_journal_that_was_removed_is_made_anew_with_all_it_held(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "one")
    journal.append(DATA)
    journal.path.unlink()
    journal.append(to_line(ROWS[0]))
    assert journal.path.read_bytes() == DATA + to_line(ROWS[0])
    assert list(orphans(tmp_path)) == []
    journal.close()


def test_a_journal_is_read_in_whole_lines_and_cleared_when_all_is_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "one")
    journal.append(DATA)
    line = to_line(ROWS[0])
    assert journal.peek(len(line) + 5) == line
    assert journal.peek(3) == DATA
    journal.advance(len(line))
    assert journal.peek(1 << 20) == DATA[len(line) :]
    journal.advance(len(DATA) - len(line))
    assert (journal.peek(1 << 20), journal.path.stat().st_size) == (b"", 0)
    journal.close()
    assert list(tmp_path.iterdir()) == []


_SETTLE_FOREVER = """
import itertools, sys
from pathlib import Path
from gateway_call import price, record, reserve
from mohist.base import SystemClock
from mohist.gateway.address import home_address
from mohist.gateway.keeper import Keeper

keeper = Keeper(home_address(Path(sys.argv[1]), {}, sys.argv[4]), price, SystemClock())
keeper.start()
for number in itertools.count(1):
    keeper.settle(reserve(keeper, sys.argv[2]), record(f"call-{sys.argv[3]}-{number}"))
    if number % int(sys.argv[5]) == 0:
        assert keeper.flush(30)
        print(number, flush=True)
"""


_AT_ONCE = 7
"""Calls between two words of that program."""


def test_a_killed_server_loses_nothing_that_it_journaled(address: Address, tmp_path: Path) -> None:
    secret = add_key(address, Key("key-1", "ann"))
    url = "" if address.path else address.url.render_as_string(hide_password=False)
    kept = 0
    for kill, lines in enumerate((1, 40, 150)):
        with subprocess.Popen(
            [sys.executable, "-c", _SETTLE_FOREVER, str(tmp_path), secret, str(kill), url, str(_AT_ONCE)],
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env={"PYTHONPATH": f"{Path(__file__).parent}:{Path(mohist.__file__).parents[1]}"},
        ) as child:
            assert child.stdout is not None
            promised = 0
            for _ in range(lines):
                promised = int(child.stdout.readline())
            child.kill()
            # What it said before it died counts too.
            rest = child.stdout.read().split("\n")
            promised = max([promised, *(int(line) for line in rest[:-1])])
            assert child.wait(60) == -signal.SIGKILL
        catch_up(address)
        before, kept = kept, calls_of(address)
        assert kept - before >= promised, "calls were lost that it had said to be safe"
        # All of the next lot, where the kill falls between what is safe and the word of it; never one more.
        assert kept - before <= promised + _AT_ONCE, "calls were counted that it never made"
    with Store(address) as store:
        assert [(s.microusd, s.tokens) for s in store.spends() if s.subject == "key"] == [(700 * kept, 200 * kept)]
