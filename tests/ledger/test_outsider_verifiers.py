"""Bundles read by programs that share no code with ours; scripts/test-ledger installs them."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from ledger_world import ORIGIN, World
from outsider_tool import go_audit, program

from mohist.ledger import tree
from mohist.ledger.tile import WIDTH

pytestmark = pytest.mark.outsider
SIZE = 3 * WIDTH + 45
EARLIER = (1, 256, 300, 511)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Path]:
    # Whoever asks for fresh cosignatures asks its own clock.
    world = World(tmp_path_factory.mktemp("outsiders"), start_s=int(time.time()) - SIZE - 60)
    log = world.log("log", [world.draft(number) for number in range(SIZE)])
    folder = world.bundle(log, "bundle", earlier=EARLIER)
    (world.home / "leaf").write_bytes(next(log.leaves(400, 401)))
    log.close()
    return world, folder


def ran(*command: str, said: str = "") -> tuple[int, str]:
    done = subprocess.run(
        command, input=said, capture_output=True, text=True, encoding="utf-8", timeout=100, check=False
    )
    return done.returncode, done.stdout + done.stderr


def flipped(folder: Path, path: str, to: Path) -> Path:
    shutil.copytree(folder, to)
    data = bytearray((to / path).read_bytes())
    data[len(data) // 2] ^= 1
    (to / path).write_bytes(data)
    return to


TILES = ["tile/0/001", f"tile/0/003.p/{SIZE % WIDTH}", "tile/1/000.p/3", "tile/entries/001"]


def test_go_audits_all_of_a_bundle_and_its_cosignature(made: tuple[World, Path]) -> None:
    world, folder = made
    code, said = ran(go_audit(), str(folder), str(world.log_key), str(world.witness_key))
    assert (code, said) == (0, f"ok  entries {SIZE}\nok  inclusion\nok  consistency {len(EARLIER)}\n")


@pytest.mark.parametrize("path", [*TILES, "checkpoint", "checkpoints/300"])
def test_go_finds_a_flipped_bit(made: tuple[World, Path], tmp_path: Path, path: str) -> None:
    world, folder = made
    broken = flipped(folder, path, tmp_path / "broken")
    code, said = ran(go_audit(), str(broken), str(world.log_key), str(world.witness_key))
    assert code == 1, said
    assert "NO " in said


def aics(world: World, *arguments: str) -> tuple[int, str]:
    return ran(program("aics-tlog"), *arguments, "--log-key", str(world.log_key), "--origin", ORIGIN)  # fmt: skip


def test_aics_tlog_verifies_the_checkpoint_its_quorum_and_its_freshness(made: tuple[World, Path]) -> None:
    world, folder = made
    quorum = ["--witness-key", str(world.witness_key), "--quorum", "1", "--max-age", "3600"]
    code, said = aics(world, "verify-checkpoint", "--note", str(folder / "checkpoint"), *quorum)
    assert code == 0, said
    stranger = World(world.home).witness_key
    quorum[1] = str(stranger)
    code, said = aics(world, "verify-checkpoint", "--note", str(folder / "checkpoint"), *quorum)
    assert code != 0, said


def test_aics_tlog_verifies_inclusion_and_consistency_from_our_tiles(made: tuple[World, Path]) -> None:
    world, folder = made
    place = ["--tiles", str(folder), "--checkpoint", str(folder / "checkpoint")]
    code, said = aics(world, "verify-inclusion", "--index", "400", "--leaf", str(world.home / "leaf"), *place)
    assert code == 0, said
    code, said = aics(world, "verify-inclusion", "--index", "401", "--leaf", str(world.home / "leaf"), *place)
    assert code != 0, said
    for size in EARLIER:
        old = str(folder / f"checkpoints/{size}")
        code, said = aics(world, "verify-consistency", "--old-checkpoint", old, *place)
        assert code == 0, (size, said)


def test_aics_tlog_finds_a_flipped_bit_in_a_tile(made: tuple[World, Path], tmp_path: Path) -> None:
    world, folder = made
    broken = flipped(folder, "tile/0/001", tmp_path / "broken")
    place = ["--tiles", str(broken), "--checkpoint", str(broken / "checkpoint")]
    code, said = aics(world, "verify-inclusion", "--index", "400", "--leaf", str(world.home / "leaf"), *place)
    assert code != 0, said


def test_scitt_cose_accepts_every_proof_that_we_make_and_no_other(made: tuple[World, Path], tmp_path: Path) -> None:
    world, _ = made
    log = world.log("proofs", [world.draft(number) for number in range(SIZE)])
    leaves = list(log.leaves(0, SIZE))
    lines = []
    for size in (1, 2, 3, 255, 256, 257, 700, SIZE):
        root = log.root(size).hex()
        for index in {0, size // 3, size // 2, size - 1}:
            path = [one.hex() for one in log.inclusion(index, size)]
            lines.append({"check": "verify_inclusion", "leaf_entry_hex": leaves[index].hex(), "index": index,
                          "tree_size": size, "audit_path_hex": path, "root_hex": root})  # fmt: skip
        path = [one.hex() for one in log.consistency(size, SIZE)]
        lines.append({"check": "verify_consistency", "first_root_hex": root, "second_root_hex": log.root(SIZE).hex(),
                      "first_size": size, "second_size": SIZE, "proof_hex": path})  # fmt: skip
    log.close()
    checker = [program("python"), "-I", str(Path(__file__).parent / "outsider/receipt.py")]
    assert ran(*checker, said="\n".join(map(json.dumps, lines))) == (0, f"ok  {len(lines)}\n")
    for wrong in (
        {**lines[-1], "first_root_hex": tree.EMPTY_ROOT.hex()},
        {**lines[-2], "index": (lines[-2]["index"] + 1) % SIZE},  # type: ignore[operator]
    ):
        code, said = ran(*checker, said=json.dumps(wrong))
        assert (code, said[:2]) == (1, "NO")
