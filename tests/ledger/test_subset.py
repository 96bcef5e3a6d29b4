"""Single streams shown to an auditor: whole, under the signed root, and nothing of the others; and every way to withhold some."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mohist.ledger import Content, Draft, LedgerError, decode, note
from mohist.ledger.export import export
from mohist.ledger.log import Log, Ready
from mohist.ledger.vault import Vault
from mohist.ledger.verify import Verdict, verify

ORIGIN = "log.example/test"
MINE, OPEN, OTHER = "run:mine", "run:open", "run:other"


@dataclass
class World:
    log: Log
    vault: Vault
    key: Ed25519PrivateKey
    folder: Path

    @property
    def vkey(self) -> str:
        return str(note.VerifierKey(ORIGIN, note.ED25519, self.key.public_key().public_bytes_raw()))

    @property
    def subset(self) -> Path:
        return self.folder / "subset"

    def write(self, *drafts: Draft) -> None:
        self.log.write([Ready(draft, tuple(map(self.vault.seal, draft.contents))) for draft in drafts])

    def export(self, *streams: str, contents: tuple[str, ...] = ()) -> list[str]:
        size = self.log.size
        plain = note.Checkpoint(ORIGIN, size, self.log.root(size))
        signed = note.SignedCheckpoint(plain, (note.sign(plain, ORIGIN, self.key),))
        return export(self.log, self.folder, signed, vault=self.vault, streams=streams, contents=contents)

    def verdict(self, *streams: str) -> Verdict:
        return verify(self.folder, self.vkey, streams=streams)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(
        Log(tmp_path / "log.db", ORIGIN),
        Vault(tmp_path / "keys.db", os.urandom(32)),
        Ed25519PrivateKey.generate(),
        tmp_path / "bundle",
    )
    for number in range(200):
        content = Content("prompt", "text/plain", f"secret words {number}".encode(), subject="person:1")
        for stream in (MINE, OPEN, OTHER):
            kind = "run.prompt" if number % 50 == 0 else "verdict"
            contents = (content,) if number % 50 == 0 else ()
            made.write(Draft(kind, stream, "key:1", data={"told": f"{stream} {number}"}, contents=contents))
    made.write(Draft("stream.close", MINE, "key:1"), Draft("stream.close", OTHER, "key:1"))
    return made


def test_one_stream_is_shown_whole_and_nothing_of_the_others(world: World) -> None:
    digests = [named["digest"] for _, leaf in world.log.stream(MINE) for named in decode(leaf).get("payload", ())]
    assert world.export(MINE, contents=tuple(digests)) == []
    verdict = world.verdict(MINE)
    assert verdict.holds, verdict
    assert (verdict.size, verdict.entries_shown, verdict.streams, verdict.contents) == (602, 201, 1, 4)
    assert verdict.closed == [MINE]
    assert any("Only 201 of 602" in warning for warning in verdict.warnings)
    whole = b"".join(path.read_bytes() for path in world.folder.rglob("*") if path.is_file())
    assert b"run:mine 17" in whole
    for other in (OPEN, OTHER):
        assert other.encode() not in whole


def test_several_streams_are_shown_and_one_that_is_open_is_named(world: World) -> None:
    world.export(MINE, OPEN)
    verdict = world.verdict()
    assert verdict.holds
    assert (verdict.streams, verdict.closed) == (2, [MINE])
    assert any(warning.startswith(f"{OPEN} is not closed") for warning in verdict.warnings)
    asked = world.verdict(OPEN)
    assert (asked.holds, asked.step, asked.where) == (False, "entries", OPEN)
    assert world.verdict(OTHER).why == "no entry of it is shown"


def test_a_run_that_went_on_is_complete_only_at_its_new_end(world: World) -> None:
    world.write(Draft("run.prompt", MINE, "key:1"))
    world.export(MINE)
    assert not world.verdict(MINE).holds
    world.write(Draft("stream.close", MINE, "key:1"))
    world.export(MINE)
    verdict = world.verdict(MINE)
    assert verdict.holds
    assert verdict.entries_shown == 203


LINES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "an entry left out": lambda lines: lines[:80] + lines[81:],
    "the first left out": lambda lines: lines[1:],
    "the end left out": lambda lines: lines[:-1],
    "an entry changed": lambda lines: [*lines[:50], lines[50].replace(b"mine 50", b"mine 51"), *lines[51:]],
    "two swapped": lambda lines: [*lines[:50], lines[51], lines[50], *lines[52:]],
    "one doubled": lambda lines: [*lines[:50], lines[50], *lines[50:]],
    "an entry at another place": lambda lines: [*lines[:50], b"9" + lines[50], *lines[51:]],
    "a place beyond the end": lambda lines: [*lines, b"602 {}\n"],
    "no place": lambda lines: [b"{}\n", *lines],
    "a negative place": lambda lines: [b"-1 {}\n", *lines],
    "nothing": lambda _: [],
    "words of another stream under this one's name": lambda lines: [
        *lines[:50], lines[50].replace(b"run:mine", b"run:nine"), *lines[51:],
    ],
}  # fmt: skip


@pytest.mark.parametrize("what", LINES)
def test_a_stream_of_which_something_is_withheld_or_changed_does_not_hold(world: World, what: str) -> None:
    world.export(MINE)
    lines = world.subset.read_bytes().splitlines(keepends=True)
    world.subset.write_bytes(b"".join(LINES[what](lines)))
    verdict = world.verdict(MINE)
    assert not verdict.holds
    assert verdict.where


def test_every_byte_of_the_hashes_counts(world: World) -> None:
    world.export(MINE)
    for path in sorted((world.folder / "tile").rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            for at in (0, len(data) // 2, len(data) - 1):
                path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
                assert not world.verdict(MINE).holds, (path, at)
            path.write_bytes(data)
    assert world.verdict(MINE).holds


def test_a_close_with_another_count_than_its_stream_has_does_not_hold(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mohist.ledger import log as module

    def lying(draft: Draft, **more: object) -> bytes:
        return encode(draft, **more).replace(b'"entries":201', b'"entries":101')  # type: ignore[arg-type]

    encode = module.encode
    monkeypatch.setattr(module, "encode", lying)
    world.write(Draft("stream.close", MINE, "key:1"))
    world.export(MINE)
    assert world.verdict().why == f"it closes {MINE} after 101 entries, and 201 came before it"


def test_a_bundle_of_all_entries_is_not_read_as_one_of_some(world: World) -> None:
    world.export()
    world.subset.write_bytes(b"")
    verdict = world.verdict(MINE)
    assert verdict.holds
    assert verdict.entries_shown == 602
    with pytest.raises(LedgerError, match="shows all entries"):
        world.export(MINE)


def test_a_stream_that_is_not_there_is_not_exported(world: World) -> None:
    with pytest.raises(LedgerError, match="no stream"):
        world.export("run:nobody")


def test_the_verifier_in_the_bundle_does_it_alone(world: World) -> None:
    world.export(MINE)
    words = [sys.executable, "-I", str(world.folder / "verify.py"), str(world.folder), "--key", world.vkey]
    ran = subprocess.run([*words, "--stream", MINE], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "201 of them shown" in ran.stdout
    assert subprocess.run([*words, "--stream", OTHER], capture_output=True, check=False).returncode == 1
