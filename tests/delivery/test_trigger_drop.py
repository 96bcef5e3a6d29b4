"""A dropped file is taken once, whole, from whoever may; the rest is left alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fakes.clock import FakeClock
from fakes.ids import CountingIds
from mohist.delivery.errors import TriggerError
from mohist.delivery.trigger.drop import ROOM, DropFolder
from mohist.delivery.trigger.setting import Drop
from mohist.delivery.trigger.template import Template


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir(mode=0o755)
    return folder


@pytest.fixture
def folder(inbox: Path, clock: FakeClock, ids: CountingIds) -> DropFolder:
    return DropFolder(Drop(inbox, settle_s=2, max_bytes=100), None, clock, ids)


def settled(folder: DropFolder, clock: FakeClock) -> list[tuple[str, str, str]]:
    """What is taken once everything that is there has stood still."""
    taken = folder.taken(99)
    clock.advance(2)
    return [(one.name, one.requirement, one.why_not) for one in [*taken, *folder.taken(99)]]


def test_a_file_is_taken_once_it_has_stood_still(inbox: Path, folder: DropFolder, clock: FakeClock) -> None:
    path = inbox / "order.md"
    path.write_text("Ship fr", encoding="utf-8")
    assert folder.taken(9) == []
    clock.advance(1.9)
    path.write_text("Ship free", encoding="utf-8")
    assert folder.taken(9) == []
    clock.advance(1.9)
    assert folder.taken(9) == []
    clock.advance(0.2)
    (one,) = folder.taken(9)
    assert (one.name, one.requirement, one.why_not) == ("order.md", "Ship free", "")
    assert not path.exists()
    folder.finish(one, {"status": "accepted", "delivery": one.delivery_id})
    told = json.loads((inbox / "order.md.result").read_text(encoding="utf-8"))
    assert told == {"file": "order.md", "status": "accepted", "delivery": one.delivery_id}
    assert list((inbox / ROOM).iterdir()) == []
    assert settled(folder, clock) == [], "the result is no order"


def test_one_that_is_only_written_in_place_with_the_same_length_is_seen_to_change(
    inbox: Path, folder: DropFolder, clock: FakeClock
) -> None:
    path = inbox / "order.md"
    path.write_text("AAAA", encoding="utf-8")
    folder.taken(9)
    clock.advance(2)
    os.utime(path, ns=(1, 1))
    assert folder.taken(9) == []


def test_what_was_taken_and_not_recorded_is_found_again_under_the_same_id(
    inbox: Path, folder: DropFolder, clock: FakeClock, ids: CountingIds
) -> None:
    (inbox / "order.txt").write_text("Ship free", encoding="utf-8")
    folder.taken(9)
    clock.advance(2)
    (one,) = folder.taken(9)
    # The process that took it is gone here; another looks.
    another = DropFolder(folder.drop, None, clock, ids)
    assert another.taken(0) == [one]
    another.finish(one, {"status": "accepted"})
    assert another.taken(9) == []
    folder.finish(one, {"status": "accepted"})


def test_of_two_that_take_one_has_it(inbox: Path, folder: DropFolder, clock: FakeClock) -> None:
    other = DropFolder(folder.drop, None, clock, CountingIds())
    (inbox / "order.txt").write_text("Ship free", encoding="utf-8")
    for each in (folder, other):
        each.taken(9)
    clock.advance(2)
    (one,) = folder.taken(9)
    assert other.taken(9) == [one], "the other finds what was taken, and takes nothing itself"


def test_no_more_are_taken_than_there_is_room_for(inbox: Path, folder: DropFolder, clock: FakeClock) -> None:
    for number in range(3):
        (inbox / f"{number}.txt").write_text("Ship free", encoding="utf-8")
    folder.taken(1)
    clock.advance(2)
    assert [one.name for one in folder.taken(2)] == ["0.txt", "1.txt"]
    assert (inbox / "2.txt").exists()


def test_links_pipes_and_what_is_no_order_are_left_alone(
    inbox: Path, tmp_path: Path, folder: DropFolder, clock: FakeClock
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not for you", encoding="utf-8")
    (inbox / "soft.md").symlink_to(secret)
    (inbox / "hard.md").hardlink_to(secret)
    os.mkfifo(inbox / "pipe.md")
    (inbox / "folder.md").mkdir()
    (inbox / "large.md").write_text("x" * 101, encoding="utf-8")
    (inbox / ".hidden.md").write_text("half", encoding="utf-8")
    (inbox / "order.pdf").write_text("x", encoding="utf-8")
    (inbox / f"{'x' * 220}.md").write_text("x", encoding="utf-8")
    assert settled(folder, clock) == []
    assert {name[:9]: why.split()[-1] for name, why in folder.left.items()} == {
        "folder.md": "file",
        "hard.md": "link)",
        "large.md": "bytes",
        "pipe.md": "file",
        "soft.md": "file",
        "xxxxxxxxx": "long",
    }
    assert secret.read_text(encoding="utf-8") == "not for you"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file another's")
def test_only_files_of_owners_who_may_are_taken(inbox: Path, clock: FakeClock, ids: CountingIds) -> None:
    path = inbox / "order.md"
    path.write_text("Ship free", encoding="utf-8")
    os.chown(path, 65_534, 65_534)
    refusing = DropFolder(Drop(inbox, settle_s=0), None, clock, ids)
    assert refusing.taken(9) == []
    assert "owner" in refusing.left["order.md"]
    (taken,) = DropFolder(Drop(inbox, settle_s=0, owners=("nobody",)), None, clock, ids).taken(9)
    assert taken.requirement == "Ship free"


def test_a_folder_that_everybody_may_write_or_whose_room_is_anothers_is_refused(
    inbox: Path, tmp_path: Path, folder: DropFolder
) -> None:
    inbox.chmod(0o777)
    with pytest.raises(TriggerError, match="Everybody may write"):
        folder.taken(9)
    inbox.chmod(0o755)
    (inbox / ROOM).symlink_to(tmp_path)
    with pytest.raises(TriggerError):
        folder.taken(9)
    (inbox / ROOM).unlink()
    (inbox / ROOM).mkdir()
    (inbox / ROOM).chmod(0o777)
    with pytest.raises(TriggerError, match="not this account's alone"):
        folder.taken(9)
    with pytest.raises(TriggerError, match="can't be read"):
        DropFolder(Drop(tmp_path / "none"), None, folder.clock, folder.ids).taken(9)


def test_json_gives_its_fields_and_what_cant_be_used_is_laid_beside(
    inbox: Path, clock: FakeClock, ids: CountingIds
) -> None:
    folder = DropFolder(Drop(inbox, settle_s=0), None, clock, ids)
    (inbox / "a.json").write_text('{"requirement": "Ship free"}', encoding="utf-8")
    (inbox / "b.json").write_text('{"title": "x"}', encoding="utf-8")
    (inbox / "c.json").write_text("{", encoding="utf-8")
    (inbox / "d.md").write_bytes(b"\xff\xfe")
    good, *bad = folder.taken(9)
    assert (good.requirement, good.why_not) == ("Ship free", "")
    assert [one.why_not for one in bad] == [
        "There is no field '/requirement'.",
        "It is no JSON.",
        "It is not UTF-8 text.",
    ]
    folder.finish(bad[1], {"status": "refused", "why": bad[1].why_not})
    assert (inbox / "c.json.refused").read_text(encoding="utf-8") == "{"
    titled = DropFolder(Drop(inbox, settle_s=0), Template("{/name}: {/text}"), clock, ids)
    (inbox / "e.md").write_text("\N{BYTE ORDER MARK}Ship free", encoding="utf-8")
    assert titled.taken(9)[-1].requirement == "e.md: Ship free"


def test_a_link_in_the_place_of_a_result_is_replaced_and_not_followed(
    inbox: Path, tmp_path: Path, folder: DropFolder
) -> None:
    other = tmp_path / "other"
    other.write_text("mine", encoding="utf-8")
    (inbox / "order.md.result").symlink_to(other)
    folder.tell("order.md", {"status": "failed"})
    assert other.read_text(encoding="utf-8") == "mine"
    assert not (inbox / "order.md.result").is_symlink()
