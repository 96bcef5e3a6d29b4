"""The run's log: whatever is killed, full or torn, whole records survive and the next one is readable."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
from io import FileIO
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from record_samples import RECORDS
from rig import header

from fakes.clock import FakeClock
from mohist.agent.errors import LogError, TreeBusyError
from mohist.agent.log import RunLog, hold_lock, read_log
from mohist.agent.record import (
    Assistant,
    Ended,
    FileChange,
    Found,
    Fragment,
    Header,
    Intent,
    Kept,
    Outcome,
    PreImage,
    Reached,
    Record,
    User,
    from_json,
    to_json,
)
from mohist.provider.message import TextPart, ThinkingPart, ToolCall, Usage

GOLDEN = Path(__file__).parents[1] / "golden" / "run-log-v1" / "log.jsonl"
NASTY = "a\u2028b\x85c\0d\ud800e\r\nf"


def some_records() -> list[Record]:
    parts = (ThinkingPart("hm", "sig"), TextPart(NASTY), ToolCall("c1", "edit", '{"path": "ä"}'))
    return [
        User(NASTY),
        Kept((PreImage("/w/a", "f" * 64, 0o644), PreImage("/w/b", None))),
        Assistant(1, parts, "tool_calls", Usage(1, 2, 3, 4), None, "m", "", 5),
        Intent("c1", "edit", "edit a", "local", None, (PreImage("/w/a", "f" * 64, 0o755),)),
        Outcome("c1", "edit", "done", NASTY, written=(FileChange("/w/a", None, "e" * 64, 0o644),)),
        Found((FileChange("/w/c", "d" * 64, None),)),
        Fragment("t", "x", lasting=True),
        Reached("pypi.org", 443, "through", "", 2, 300, 4000),
    ]


def new_log(folder: Path, *records: Record) -> RunLog:
    log = RunLog.create(folder, header(folder), FakeClock())
    for record in records:
        log.append(record)
    return log


@given(RECORDS)
def test_every_record_comes_back_as_it_was(record: Record) -> None:
    again = from_json(json.loads(json.dumps(to_json(record))))
    assert again == record


def test_a_log_cut_at_any_byte_keeps_its_whole_records_and_takes_the_next(tmp_path: Path) -> None:
    with new_log(tmp_path / "whole", *some_records()) as log:
        written = log.records
    data = (tmp_path / "whole" / "log.jsonl").read_bytes()
    first = data.index(b"\n") + 1
    folder = tmp_path / "cut"
    folder.mkdir()
    for size in range(first, len(data)):
        (folder / "log.jsonl").write_bytes(data[:size])
        whole = data[:size].count(b"\n")
        torn_bytes = size - (data[:size].rfind(b"\n") + 1)
        with RunLog.resume(folder, FakeClock(size)) as log:
            assert log.records == written[:whole]
            log.append(User("next"))
        assert [entry.record for entry in read_log(folder)] == [*written[:whole], User("next")]
        torn = list((folder / "torn").iterdir()) if (folder / "torn").exists() else []
        assert sum(path.stat().st_size for path in torn) == torn_bytes
        for path in torn:
            path.unlink()


def test_a_log_whose_header_is_torn_says_that_the_run_never_started(tmp_path: Path) -> None:
    new_log(tmp_path / "run").close()
    path = tmp_path / "run" / "log.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(LogError, match="never started"):
        RunLog.resume(tmp_path / "run", FakeClock())
    # The lock is free again.
    hold_lock(tmp_path / "run" / "lock", "").close()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"not json\n", "not a record"),
        (b"[1]\n", "not a record"),
        (b"12\n", "not a record"),
        (b"{}\n", "not a record"),
        (b'{"v":1,"seq":2,"at_ms":0,"kind":"user"}\n', "not readable"),
        (b'{"v":1,"seq":2,"at_ms":0,"kind":"poem","text":""}\n', "'poem'"),
        (b'{"v":1,"seq":7,"at_ms":0,"kind":"user","text":""}\n', "taken out or put in"),
        (b'{"v":99,"seq":2,"at_ms":0,"kind":"user","text":""}\n', "newer Mohist"),
        (b'{"v":1,"seq":2,"at_ms":0,"kind":"kept","files":[3]}\n', "not readable"),
        (b'{"v":1,"seq":2,"at_ms":0,"kind":"assistant","parts":[{"part":"dance"}]}\n', "not readable"),
        (b"\0\0\0\n", "not a record"),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: bytes, said: str) -> None:
    new_log(tmp_path / "run", User("a")).close()
    with (tmp_path / "run" / "log.jsonl").open("ab") as file:
        file.write(line)
    with pytest.raises(LogError, match=said):
        RunLog.resume(tmp_path / "run", FakeClock())
    with pytest.raises(LogError, match=said):
        read_log(tmp_path / "run")


def test_keys_of_a_newer_version_are_passed_over_at_every_depth() -> None:
    for record in some_records():
        data = to_json(record) | {"later": 1}
        for key in ("parts", "pre_images", "written", "files"):
            data[key] = [dict(item) | {"later": 1} for item in data[key]] if key in data else []
        if data.get("usage"):
            data["usage"] = dict(data["usage"]) | {"later": 1}
        assert from_json(data) == record


def test_logs_of_the_first_version_stay_readable() -> None:
    entries = read_log(GOLDEN.parent)
    assert {type(entry.record) for entry in entries} == set(get_args(Record))
    lines = GOLDEN.read_text(encoding="ascii").splitlines()
    for entry, line in zip(entries, lines, strict=True):
        kept = json.loads(line)
        told = json.loads(json.dumps(to_json(entry.record)))
        assert {key: told[key] for key in kept if key in told} == {key: kept[key] for key in kept if key in told}
        assert set(kept) <= set(told) | {"v", "seq", "at_ms"}


def test_each_line_is_ascii_and_stands_alone(tmp_path: Path) -> None:
    new_log(tmp_path / "run", *some_records()).close()
    data = (tmp_path / "run" / "log.jsonl").read_bytes()
    assert data.isascii()
    assert len(data.decode("ascii").splitlines()) == len(some_records()) + 1


WRITER = """
import sys
from pathlib import Path
from mohist.agent.log import RunLog
from mohist.agent.record import User
from mohist.base import SystemClock
log = RunLog.resume(Path(sys.argv[1]), SystemClock())
while True:
    entry = log.append(User("x" * (len(log.entries) * 37 % 5000)))
    print(entry.seq, flush=True)
"""


def test_a_writer_killed_anywhere_loses_nothing_it_had_written(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    new_log(folder).close()
    chance = random.Random(5)
    total = 1
    for _ in range(4):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        last = -1
        for _ in range(chance.randrange(1, 60)):
            last = int(child.stdout.readline())
        child.kill()
        said = [int(line) for line in child.stdout.read().split("\n")[:-1] if line]
        child.wait(60)
        child.stdout.close()
        last = max([last, *said])
        with RunLog.resume(folder, FakeClock()) as log:
            assert len(log.entries) > last
            assert len(log.entries) >= total
            total = len(log.entries)


def test_a_lock_is_held_by_one_and_freed_by_its_death(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    new_log(folder).close()
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    with pytest.raises(TreeBusyError):
        RunLog.resume(folder, FakeClock())
    child.kill()
    child.wait(60)
    child.stdout.close()
    RunLog.resume(folder, FakeClock()).close()


FULL = """
import resource, signal, sys
from pathlib import Path
from mohist.agent.errors import LogError
from mohist.agent.log import RunLog
from mohist.agent.record import User
from mohist.base import SystemClock
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
log = RunLog.resume(folder, SystemClock())
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, ((folder / "log.jsonl").stat().st_size + 3000, hard))
for number in range(1000):
    try:
        log.append(User("y" * 700))
    except LogError as error:
        print(number, error)
        break
try:
    log.append(User("after"))
except LogError as error:
    print(error)
try:
    log.save_blob(b"z" * 9_000_000)
except LogError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
log.close()
"""


def test_a_full_disk_is_said_and_leaves_the_log_whole(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    new_log(folder).close()
    done = subprocess.run([sys.executable, "-W", "error", "-c", FULL, str(folder)], capture_output=True, text=True, timeout=60)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    first, second, third = done.stdout.splitlines()
    number = int(first.split()[0])
    assert "Can't write the log" in first
    assert "can't be written" in second
    assert "Can't save" in third
    assert (folder / "log.jsonl").read_bytes().endswith(b"\n")
    with RunLog.resume(folder, FakeClock()) as log:
        assert log.records[1:] == [User("y" * 700)] * number
        assert not (folder / "torn").exists()
        log.append(User("room again"))
    assert list((folder / "blobs").iterdir()) == []


class HalfFull(FileIO):
    """A file on a disk with room for some bytes more; takes a part of what does not fit, as a kernel does."""

    room = 0

    def write(self, data: Any) -> int:
        piece = bytes(data)[: self.room]
        if not piece:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(piece)
        return super().write(piece)


def test_a_record_half_written_is_taken_back_and_never_written_later(tmp_path: Path) -> None:
    log = new_log(tmp_path / "run", User("before"))
    path = tmp_path / "run" / "log.jsonl"
    whole = path.read_bytes()
    assert log._file is not None
    log._file.close()
    log._file = HalfFull(path, "ab")
    log._file.room = 20
    with pytest.raises(LogError, match="No space left") as caught:
        log.append(User("too much"))
    assert caught.value.audience == "operator"
    assert path.read_bytes() == whole
    log._file.room = 10_000
    with pytest.raises(LogError):
        log.append(User("the disk has room again, but this process can't know what was lost"))
    log.close()
    assert path.read_bytes() == whole


def test_a_log_that_can_not_be_started_lets_go_of_its_lock(tmp_path: Path) -> None:
    odd = header(tmp_path)
    bad = Header(**{**{name: getattr(odd, name) for name in odd.__dataclass_fields__}, "tools": ({"weight": 0.5},)})
    with pytest.raises(ValueError, match="no floats"):
        RunLog.create(tmp_path / "run", bad, FakeClock())
    hold_lock(tmp_path / "run" / "lock", "").close()


def test_a_run_that_is_not_there_is_said_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="No run"):
        RunLog.resume(tmp_path / "none", FakeClock())
    with pytest.raises(LogError, match="No run"):
        read_log(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_second_run_of_the_same_name_is_refused(tmp_path: Path) -> None:
    new_log(tmp_path / "run").close()
    with pytest.raises(LogError, match="Can't make"):
        RunLog.create(tmp_path / "run", header(tmp_path), FakeClock())


def test_blobs_are_kept_once_and_told_when_damaged_or_gone(tmp_path: Path) -> None:
    with new_log(tmp_path / "run") as log:
        name = log.save_blob(b"content")
        assert log.save_blob(b"content") == name
        assert log.load_blob(name) == b"content"
        assert [path.name for path in log.blobs.iterdir()] == [name]
        (log.blobs / name).write_bytes(b"other")
        with pytest.raises(LogError, match="damaged"):
            log.load_blob(name)
        with pytest.raises(LogError, match="not there"):
            log.load_blob("0" * 64)


def test_a_log_is_for_its_owner_alone(tmp_path: Path) -> None:
    with new_log(tmp_path / "run") as log:
        log.save_blob(b"x")
    modes = {path.name: path.stat().st_mode & 0o077 for path in [tmp_path / "run", tmp_path / "run" / "blobs"]}
    assert modes == {"run": 0, "blobs": 0}


def test_a_closed_log_takes_no_record(tmp_path: Path) -> None:
    log = new_log(tmp_path / "run")
    log.close()
    log.close()
    with pytest.raises(LogError, match="closed"):
        log.append(Ended("done", ""))
