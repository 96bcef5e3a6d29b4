"""An exported bundle: verified as a stranger would, and broken in every way that we know."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ledger_world import World as Owner

from mohist.ledger import Content, Draft, LedgerError, decode, note
from mohist.ledger import export as exporting
from mohist.ledger.export import export
from mohist.ledger.log import Log, Ready
from mohist.ledger.tile import WIDTH
from mohist.ledger.vault import Vault
from mohist.ledger.verify import verify

ORIGIN = "log.example/test"
WITNESS = "witness.example/w1"
SIZE = 700
EARLIER = 300
NOW_S = 1_790_000_000


@dataclass
class World:
    """A log with its keys, and its bundle."""

    log: Log
    vault: Vault
    key: Ed25519PrivateKey
    witness: Ed25519PrivateKey
    folder: Path
    entered: list[Ready]

    @property
    def vkey(self) -> str:
        return str(note.VerifierKey(ORIGIN, note.ED25519, self.key.public_key().public_bytes_raw()))

    @property
    def policy(self) -> str:
        public = self.witness.public_key().public_bytes_raw()
        return f"witness w1 {note.VerifierKey(WITNESS, note.COSIGNATURE, public)}\nquorum w1\n"

    def checkpoint(self, size: int, time_s: int, key: Ed25519PrivateKey | None = None) -> note.SignedCheckpoint:
        plain = note.Checkpoint(ORIGIN, size, self.log.root(size))
        lines = (note.sign(plain, ORIGIN, key or self.key), note.cosign(plain, WITNESS, self.witness, time_s))
        return note.SignedCheckpoint(plain, lines)


def drafts(vault: Vault, count: int, start: int = 0) -> list[Ready]:
    made = []
    for number in range(start, start + count):
        secret = Content("prompt", "text/plain", f"prompt {number}".encode(), subject=f"person:{number % 7}")
        intent = number % 2 == 0
        draft = Draft(
            "model.intent" if intent else "model.response",
            f"run:{number % 5 // 2}",
            "key:abc",
            about={} if intent else {"intent": f"call {number - 1}"},
            data={"number": number},
            key=f"call {number}" if intent else "",
        )
        sealed = (vault.seal(secret),) if number % 100 == 0 else ()
        made.append(Ready(draft, sealed, at_us=(NOW_S + number) * 1_000_000))
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("ledger")
    vault = Vault(folder / "keys.db", os.urandom(32))
    log = Log(folder / "log.db", ORIGIN)
    entered = drafts(vault, SIZE)
    log.write(entered)
    keys = (Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate())
    world = World(log, vault, *keys, folder / "bundle", entered)
    shown = [decode(leaf)["payload"][0]["digest"] for leaf in log.leaves(0, 201) if "payload" in decode(leaf)]
    gone = export(
        log,
        world.folder,
        world.checkpoint(SIZE, NOW_S + SIZE + 10),
        earlier=[world.checkpoint(EARLIER, NOW_S + EARLIER + 5)],
        policy=world.policy,
        vault=vault,
        contents=shown,
    )
    assert gone == []
    return world


@pytest.fixture
def world(made: World, tmp_path: Path) -> World:
    shutil.copytree(made.folder, tmp_path / "bundle")
    return replace(made, folder=tmp_path / "bundle")


def judged(world: World, **more: object) -> str:
    verdict = verify(world.folder, world.vkey, policy_text=world.policy, **more)  # type: ignore[arg-type]
    assert verdict.holds == (verdict.step == "")
    return "holds" if verdict.holds else f"{verdict.step}: {verdict.where}: {verdict.why}"


def test_an_honest_bundle_holds_and_says_what_was_established(world: World) -> None:
    verdict = verify(world.folder, world.vkey, policy_text=world.policy)
    assert (verdict.holds, verdict.size, verdict.streams, verdict.contents) == (True, SIZE, 3, 3)
    assert verdict.witnesses == {"w1": NOW_S + SIZE + 10}
    assert verdict.earlier_checkpoints == 1
    assert verdict.open_intents_in_all == 0
    assert verdict.warnings == []


def test_the_verifier_in_the_bundle_runs_alone(world: World, tmp_path: Path) -> None:
    (tmp_path / "policy").write_text(world.policy, encoding="utf-8")
    command = [
        sys.executable,
        "-I",
        "verify.py",
        ".",
        "--key",
        world.vkey,
        "--policy",
        str(tmp_path / "policy"),
        "--json",
    ]
    done = subprocess.run(command, cwd=world.folder, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["holds"] is True
    path = world.folder / "tile/entries/001"
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    done = subprocess.run(command[:-1], cwd=world.folder, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 1
    assert "NO  tree" in done.stdout


def test_a_change_of_any_byte_is_found(world: World) -> None:
    files = [path for path in sorted(world.folder.rglob("*")) if path.is_file()]
    judged_files = [path for path in files if path.name not in ("verify.py", "README.txt", "policy")]
    assert len(judged_files) > 12
    for path in judged_files:
        data = path.read_bytes()
        for at in sorted({0, len(data) // 3, len(data) // 2, len(data) - 2}):
            changed = bytearray(data)
            changed[at] ^= 0x04
            path.write_bytes(changed)
            assert judged(world) != "holds", (path, at)
        path.write_bytes(data)
    assert judged(world) == "holds"


def test_a_changed_entry_is_named(world: World) -> None:
    path = world.folder / "tile/entries/001"
    data = path.read_bytes()
    at = data.index(b'"number":400')
    path.write_bytes(data[:at] + b'"number":401' + data[at + 12 :])
    assert judged(world).startswith("tree: entry 400: its bytes are not those of tile/0/001")


@pytest.mark.parametrize(
    "missing", ["tile/0/000", "tile/0/002.p/188", "tile/entries/001", "tile/1/000.p/2", "checkpoint"]
)
def test_a_missing_file_is_named(world: World, missing: str) -> None:
    (world.folder / missing).unlink()
    assert f"{missing}: it can't be read" in judged(world)


def forged(
    world: World, tmp_path: Path, change: Callable[[list[Ready]], list[Ready]], *, key: Ed25519PrivateKey | None = None
) -> World:
    """The owner writes another past and signs it; the witness's old signatures are all that is left of the true one."""
    log = Log(tmp_path / "forged.db", ORIGIN)
    log.write(change(world.entered))
    other = replace(world, log=log, folder=tmp_path / "forged")
    plain = note.Checkpoint(ORIGIN, log.size, log.root(log.size))
    honest = note.parse((world.folder / "checkpoint").read_text("utf-8")).signatures[1]
    signed = note.SignedCheckpoint(plain, (note.sign(plain, ORIGIN, key or world.key), honest))
    export(log, other.folder, signed, earlier=[world.checkpoint(EARLIER, NOW_S + EARLIER + 5)])
    return other


def swapped(made: list[Ready]) -> list[Ready]:
    return [*made[:600], made[602], made[601], made[600], *made[603:]]


FORGERIES: dict[str, Callable[[list[Ready]], list[Ready]]] = {
    "one entry changed": lambda made: [
        *made[:600], replace(made[600], draft=replace(made[600].draft, data={"number": -1})), *made[601:]
    ],
    "one entry dropped": lambda made: made[:600] + made[601:],
    "one entry put in": lambda made: [
        *made[:600], replace(made[0], at_us=made[600].at_us, draft=replace(made[0].draft, key="call x")), *made[600:]
    ],
    "two entries swapped": swapped,
    "the end cut off": lambda made: made[:650],
    "one entry twice": lambda made: [*made[:600], replace(made[599], draft=replace(made[599].draft, key="")), *made[600:]],
    "the last hundred written anew": lambda made: made[:600] + [
        replace(one, draft=replace(one.draft, data={"number": 0})) for one in made[600:]
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_an_owner_who_rewrites_and_signs_anew_is_caught_by_the_witness(world: World, tmp_path: Path, name: str) -> None:
    other = forged(world, tmp_path, FORGERIES[name])
    assert "false signature" in judged(other) or "not theirs" in judged(other)
    unwitnessed = verify(other.folder, world.vkey)
    assert unwitnessed.holds
    assert "not excluded" in unwitnessed.warnings[0]


def test_a_past_before_an_old_checkpoint_can_not_be_rewritten_even_without_a_witness(
    world: World, tmp_path: Path
) -> None:
    other = forged(
        world,
        tmp_path,
        lambda made: [*made[:100], replace(made[100], draft=replace(made[100].draft, data={})), *made[101:]],
    )
    verdict = verify(other.folder, world.vkey)
    assert (verdict.step, verdict.where) == ("history", f"checkpoints/{EARLIER}")


def test_another_key_does_not_sign_for_the_log(world: World, tmp_path: Path) -> None:
    other = forged(world, tmp_path, lambda made: made, key=Ed25519PrivateKey.generate())
    assert verify(other.folder, world.vkey).why.startswith("it bears no signature of")
    assert verify(world.folder, str(note.VerifierKey("other.example", 1, bytes(32)))).step == "checkpoint"
    assert verify(world.folder, "nonsense").step == "key"


def test_a_quorum_that_is_not_met_is_said(world: World) -> None:
    second = note.VerifierKey(
        "w2.example", note.COSIGNATURE, Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    )
    first = world.policy.splitlines()[0]
    both = f"{first}\nwitness w2 {second}\ngroup both all w1 w2\nquorum both\n"
    verdict = verify(world.folder, world.vkey, policy_text=both)
    assert (verdict.step, verdict.why) == ("witnesses", "the policy asks for both; cosigned: w1")
    either = both.replace(" all ", " any ")
    assert verify(world.folder, world.vkey, policy_text=either).holds
    for bad in ("quorum nobody\n", "group g 2 nobody\n", "say what\n"):
        assert verify(world.folder, world.vkey, policy_text=bad).step == "policy"


def test_back_dated_and_post_dated_entries_are_named(world: World, tmp_path: Path) -> None:
    for shift_s, said in ((-10_000, "back-dated"), (10_000, "dated ahead")):
        log = Log(tmp_path / f"dated{shift_s}.db", ORIGIN)
        made = drafts(world.vault, SIZE)
        made[500] = replace(made[500], at_us=made[500].at_us + shift_s * 1_000_000)
        log.write(made)
        other = replace(world, log=log, folder=tmp_path / f"dated{shift_s}")
        export(
            log,
            other.folder,
            other.checkpoint(SIZE, NOW_S + SIZE + 10),
            earlier=[other.checkpoint(EARLIER, NOW_S + EARLIER + 5)],
        )
        assert judged(other).startswith("time: entry 500")
        assert said in judged(other)
        assert judged(other, skew_s=20_000) == "holds"


def test_intents_that_nothing_closed_are_counted_and_named(world: World, tmp_path: Path) -> None:
    log = Log(tmp_path / "open.db", ORIGIN)
    log.write(drafts(world.vault, 11))
    other = replace(world, log=log, folder=tmp_path / "open")
    export(log, other.folder, other.checkpoint(11, NOW_S + 20))
    verdict = verify(other.folder, world.vkey)
    assert (verdict.holds, verdict.open_intents_in_all, verdict.open_intents) == (True, 1, ["entry 10"])


def test_erased_contents_are_left_out_and_said(world: World, tmp_path: Path) -> None:
    (leaf,) = world.log.leaves(600, 601)
    digest = decode(leaf)["payload"][0]["digest"]
    world.vault.erase(f"person:{600 % 7}")
    checkpoint = world.checkpoint(SIZE, NOW_S + SIZE + 10)
    assert export(world.log, tmp_path / "out", checkpoint, vault=world.vault, contents=[digest]) == [digest]
    assert verify(tmp_path / "out", world.vkey, policy_text=world.policy).holds


def test_a_longer_export_into_the_same_folder_agrees_with_the_shorter(world: World, tmp_path: Path) -> None:
    log = Log(tmp_path / "growing.db", ORIGIN)
    log.write(drafts(world.vault, 300))
    other = replace(world, log=log, folder=tmp_path / "growing")
    first = other.checkpoint(300, NOW_S + 310)
    export(log, other.folder, first)
    log.write(drafts(world.vault, 400, 300))
    export(log, other.folder, other.checkpoint(SIZE, NOW_S + SIZE + 10), earlier=[first])
    assert judged(other) == "holds"
    foreign = Log(tmp_path / "foreign.db", ORIGIN)
    foreign.write(drafts(world.vault, 300, 5))
    strange = replace(other, log=foreign)
    with pytest.raises(LedgerError, match="other bytes"):
        export(foreign, other.folder, strange.checkpoint(300, NOW_S))
    with pytest.raises(LedgerError, match="does not have the tree"):
        export(foreign, tmp_path / "new", first)


def test_an_export_that_was_killed_is_gone_on_with_and_has_no_checkpoint_before_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = Owner(tmp_path)
    log = world.log("log", [world.draft(number) for number in range(3 * WIDTH)])
    folder, honest, written = tmp_path / "bundle", exporting._write, []

    def dies(path: Path, data: bytes) -> None:
        if len(written) == 4:
            path.write_bytes(data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        written.append(path)
        honest(path, data)

    monkeypatch.setattr(exporting, "_write", dies)
    with pytest.raises(LedgerError, match="No space left"):
        export(log, folder, world.signed(log, log.size))
    assert not (folder / "checkpoint").exists()
    # Nothing has its own name that is not whole.
    assert all(path.suffix == ".new" for path in folder.rglob("*") if path.is_file())
    monkeypatch.undo()
    export(log, folder, world.signed(log, log.size))
    assert not list(folder.rglob("*.new"))
    assert verify(folder, str(world.log_key)).holds
    log.close()


def test_each_file_and_each_folder_of_an_export_is_flushed_and_the_checkpoint_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = Owner(tmp_path)
    log = world.log("log", [world.draft(number) for number in range(WIDTH + 3)])
    done: list[str] = []
    replace, flush = Path.replace, exporting._flush

    def renamed(self: Path, target: Path) -> Path:
        done.append(f"name {target.relative_to(tmp_path)}")
        return replace(self, target)

    def flushed(path: Path) -> None:
        done.append(f"folder {path.relative_to(tmp_path)}")
        flush(path)

    monkeypatch.setattr(Path, "replace", renamed)
    monkeypatch.setattr(exporting, "_flush", flushed)
    export(log, tmp_path / "bundle", world.signed(log, log.size))
    last = done.index("name bundle/checkpoint")
    assert set(done[last + 1 :]) == {"folder bundle"}
    for folder in (".", "bundle", "bundle/tile", "bundle/tile/0", "bundle/tile/0/001.p", "bundle/tile/entries"):
        assert f"folder {folder}" in done[:last]
    log.close()
