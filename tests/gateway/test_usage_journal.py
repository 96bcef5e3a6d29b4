"""Usage reaches the database exactly once, whatever is killed and wherever a line is cut."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from gateway_call import add_key, price, record
from hypothesis import given
from hypothesis import strategies as st

from fakes.clock import FakeClock
from mohist.gateway.budget import Spend
from mohist.gateway.call import Principal
from mohist.gateway.journal import Journal
from mohist.gateway.keeper import Keeper
from mohist.gateway.key import Key
from mohist.gateway.store import Store, database_path
from mohist.gateway.usage import COLUMNS, UsageRow, flat, from_lines, to_line
from mohist.gateway.writer import catch_up, journal_path, replay

ANN = Principal("key-1", "ann")
ROWS = [flat(UsageRow(record(f"call-{number}"), ANN, 19_675, 700, 200)) for number in range(3)]
DATA = b"".join(map(to_line, ROWS))


def calls_of(home: Path) -> int:
    with Store(database_path(home)) as store:
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


def test_replay_repeats_nothing_however_often_it_is_killed(tmp_path: Path) -> None:
    path = journal_path(tmp_path)
    for _ in range(3):
        journal = Journal(path)
        journal.append(DATA)
        added = replay(journal, database_path(tmp_path))
        assert journal.read() == b""
        journal.close()
    assert added == 0
    assert calls_of(tmp_path) == 3
    with Store(database_path(tmp_path)) as store:
        assert store.spends() == [Spend("key", "key-1", 19_675, 2_100, 600), Spend("user", "ann", 19_675, 2_100, 600)]


def test_damaged_lines_are_kept_aside(tmp_path: Path) -> None:
    path = journal_path(tmp_path)
    path.write_bytes(DATA[:-20])
    catch_up(tmp_path)
    assert calls_of(tmp_path) == 2
    assert path.with_suffix(".damaged").read_bytes() == DATA[:-20]
    assert path.read_bytes() == b""


def test_a_batch_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    with Store(database_path(tmp_path)) as store:
        with pytest.raises(KeyError):
            store.add_usage([ROWS[0], {**ROWS[1], "day": 1}, {}])
        assert store.spends() == []
        assert store.add_usage(ROWS) == 3


def test_those_who_ask_while_a_server_runs_leave_its_journal_alone(tmp_path: Path, clock: FakeClock) -> None:
    with Keeper(tmp_path, price, clock) as keeper:
        keeper.refused(None, record(verdict="auth"))
        assert keeper.flush(10)
        catch_up(tmp_path)
    assert calls_of(tmp_path) == 1


_SETTLE_FOREVER = """
import itertools, sys
from pathlib import Path
from gateway_call import price, record, reserve
from mohist.base import SystemClock
from mohist.gateway.keeper import Keeper

keeper = Keeper(Path(sys.argv[1]), price, SystemClock())
keeper.start()
for number in itertools.count(1):
    keeper.settle(reserve(keeper, sys.argv[2]), record(f"call-{sys.argv[3]}-{number}"))
    if number % 7 == 0:
        assert keeper.flush(30)
        print(number, flush=True)
"""


def test_a_killed_server_loses_nothing_that_it_journaled(tmp_path: Path) -> None:
    secret = add_key(tmp_path, Key("key-1", "ann"))
    promised = 0
    for kill, lines in enumerate((1, 40, 150)):
        with subprocess.Popen(
            [sys.executable, "-c", _SETTLE_FOREVER, str(tmp_path), secret, str(kill)],
            stdout=subprocess.PIPE,
            encoding="utf-8",
            env={"PYTHONPATH": str(Path(__file__).parent)},
        ) as child:
            assert child.stdout is not None
            last = 0
            for _ in range(lines):
                last = int(child.stdout.readline())
            child.kill()
            # What it said before it died counts too.
            rest = child.stdout.read().split("\n")
            last = max([last, *(int(line) for line in rest[:-1])])
            assert child.wait(10) == -signal.SIGKILL
        promised += last
        catch_up(tmp_path)
        kept = calls_of(tmp_path)
        assert promised <= kept < promised + 7 * (kill + 1)
    with Store(database_path(tmp_path)) as store:
        assert [(s.microusd, s.tokens) for s in store.spends() if s.subject == "key"] == [(700 * kept, 200 * kept)]
