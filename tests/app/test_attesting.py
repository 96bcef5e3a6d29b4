"""A delivery states by itself who wrote what it merged, with what, and where its builds come from."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from mohist.app.attesting import FOLDER, state_builds, state_merge
from mohist.app.evidence import Evidence
from mohist.app.ledger_setting import DEFAULTS, ledger_settings
from mohist.app.projection import signing_key
from mohist.app.statement import checked
from mohist.delivery.chronicle import DeliveryChronicle
from mohist.delivery.state import Delivery
from mohist.ledger import LedgerError, decode
from mohist.report.statement import AUTHORSHIP, SLSA, opened


class Lane:
    """A user's repository, a delivery's own that alone has the change, and a ledger."""

    def __init__(self, home: Path) -> None:
        self.home, self.own, self.folder = home / "user", home / "own", home / "delivery"
        self.home.mkdir()
        self.git(self.home, "init", "-q", "-b", "main")
        (self.home / "a.py").write_text("a = 1\n", encoding="utf-8")
        base = self.commit(self.home)
        self.git(home, "clone", "-q", str(self.home), str(self.own))
        (self.own / "a.py").write_text("a = 1\nb = 2\n", encoding="utf-8")
        self.delivery = Delivery(
            "dlv-1", str(self.home), "Add b", "text", "ann", base, "main", "b", "working", "merge", 1, 1, 1,
            commit=(merged := self.commit(self.own)), merged=merged,
        )  # fmt: skip
        self.evidence = Evidence(home / "state", ledger_settings(DEFAULTS, home), dict(os.environ))
        DeliveryChronicle(self.evidence, self.evidence.name).begun(self.delivery)

    def git(self, folder: Path, *words: str) -> str:
        env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        who = {f"GIT_{role}_{part}": "p@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        done = subprocess.run(["git", *words], cwd=folder, env=env | who, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, folder: Path) -> str:
        self.git(folder, "add", "-A")
        self.git(folder, "commit", "-q", "-m", "change")
        return self.git(folder, "rev-parse", "HEAD")

    @property
    def objects(self) -> Path:
        return self.own / ".git" / "objects"

    async def state(self) -> str:
        return await state_merge(self.evidence, self.delivery, self.objects, self.folder)

    def files(self) -> dict[str, Any]:
        paths = sorted((self.folder / FOLDER).glob("*"))
        return {path.name.partition("-")[0]: json.loads(path.read_text("utf-8")) for path in paths}

    def stated(self) -> list[dict[str, Any]]:
        """The entries of the delivery's stream that hold digests."""
        log = self.evidence.home.read()
        found = [{"index": index, **decode(leaf)} for index, leaf in log.stream("delivery:dlv-1")]
        log.close()
        return [entry for entry in found if entry["kind"] == "export"]

    def entered(self, key: str) -> dict[str, Any] | None:
        return next((entry for entry in self.stated() if entry["key"] == key), None)


@pytest.fixture
def lane(tmp_path: Path) -> Iterator[Lane]:
    made = Lane(tmp_path)
    yield made
    made.evidence.close()


async def test_a_merge_is_stated_once_and_its_digests_stand_in_the_deliverys_stream(lane: Lane) -> None:
    assert await lane.state() == ""
    files, key = lane.files(), signing_key(lane.evidence.home.folder).public_key()
    assert set(files) == {"authorship", "materials"}
    said = opened(files["authorship"], key)
    assert said["predicateType"] == AUTHORSHIP
    assert said["subject"][0]["digest"] == {"gitCommit": lane.delivery.merged}
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(files["materials"])) is None
    assert [entry["data"]["what"] for entry in lane.stated()] == ["attestation", "materials"]
    for value in files.values():
        assert checked(value, key, lane.entered).faults == ()
    # The stage may be gone through again: what is there stays.
    assert await lane.state() == ""
    assert lane.files() == files
    assert len(lane.stated()) == 2


async def test_a_kill_between_the_entry_and_the_file_costs_one_more_entry_and_no_file(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Path.replace

    def dies(self: Path, target: Path) -> Path:
        if target.parent.name == FOLDER:
            raise OSError(5, "Input/output error")
        return replace(self, target)

    with monkeypatch.context() as killed:
        killed.setattr(Path, "replace", dies)
        told = await lane.state()
    assert "no statement was made of it (Input/output error." in told
    assert await lane.state() == ""
    key = signing_key(lane.evidence.home.folder).public_key()
    for value in lane.files().values():
        assert checked(value, key, lane.entered).faults == ()


async def test_what_can_not_be_entered_is_not_written_and_is_told(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise LedgerError("The disk is full.")

    monkeypatch.setattr(Evidence, "append", refuses)
    assert "The disk is full." in await lane.state()
    assert lane.files() == {}


async def test_builds_are_stated_from_their_entries_and_none_where_nothing_was_built(lane: Lane) -> None:
    async def state() -> str:
        return await state_builds(lane.evidence, lane.delivery, lane.objects, lane.folder)

    assert await state() == ""
    assert lane.files() == {}
    chronicle = DeliveryChronicle(lane.evidence, lane.evidence.name)
    key = f"dlv-1/1/artefact/{lane.delivery.merged}"
    chronicle.about_to(key, "artefact")
    chronicle.happened(key, {"folder": "x", "dir_hash": "d" * 64, "build": "make"})
    assert [await state() for _ in range(2)] == ["", ""]
    public = signing_key(lane.evidence.home.folder).public_key()
    said = opened(lane.files()["provenance"], public)
    assert (said["predicateType"], said["subject"]) == (SLSA, [{"name": "dlv-1", "digest": {"dirHash1": "d" * 64}}])
    (entry,) = lane.stated()
    assert (entry["data"]["what"], entry["about"]["artefact"]) == ("provenance", "d" * 64)
    assert checked(lane.files()["provenance"], public, lane.entered).entry == entry["index"]
