"""Makes tests/golden/ledger/<name>: a small ledger with all its files, as this version writes them.

    python tests/ledger/golden_ledger.py schema-1

Run once for each schema that was published; what is there is never made anew, since later versions have to read it.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mohist.ledger import Content, Draft, decode, note
from mohist.ledger.export import export
from mohist.ledger.log import Log, Ready
from mohist.ledger.notary import Archive
from mohist.ledger.vault import Vault

GOLDEN = Path(__file__).parent.parent / "golden" / "ledger"
ORIGIN = "log.example/golden"
WITNESS = "witness.example/golden"
ROOT_KEY = bytes(range(32))
"""Of a ledger that holds nothing but what stands in this file."""
NOW_S = 1_790_000_000
SIZE = 258
EARLIER = 100
SECRET = "what was asked"
ERASED = "what was erased"
DATABASES = ("log", "keys", "checkpoints")


def make(folder: Path, home: Path) -> None:
    """Writes databases as SQL, a bundle as it is, and the two public keys."""
    vault, log, archive = (
        Vault(home / "keys.db", ROOT_KEY),
        Log(home / "log.db", ORIGIN),
        Archive(home / "checkpoints.db"),
    )
    ready = [_entry(number, vault) for number in range(SIZE)]
    log.write(ready)
    vault.erase("person:b")
    key, witness = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    for size in (EARLIER, SIZE):
        plain = note.Checkpoint(ORIGIN, size, log.root(size))
        lines = (note.sign(plain, ORIGIN, key), note.cosign(plain, WITNESS, witness, NOW_S + size))
        archive.keep(note.SignedCheckpoint(plain, lines), NOW_S + size)
    archive.saw(WITNESS, SIZE, NOW_S + SIZE)
    newest = archive.newest()
    assert newest is not None
    shown = decode(next(log.leaves(0, 1)))["payload"][0]["digest"]
    export(log, folder / "bundle", newest, earlier=archive.every(EARLIER), vault=vault, contents=[shown])
    public = note.VerifierKey(WITNESS, note.COSIGNATURE, witness.public_key().public_bytes_raw())
    (folder / "bundle" / "policy").write_text(f"witness w {public}\nquorum w\n", encoding="utf-8")
    log_key = note.VerifierKey(ORIGIN, note.ED25519, key.public_key().public_bytes_raw())
    (folder / "key.pub").write_text(f"{log_key}\n", encoding="utf-8")
    log.close()
    vault.close()
    archive.close()
    for name in DATABASES:
        with closing(sqlite3.connect(home / f"{name}.db")) as database:
            text = "\n".join(database.iterdump())
        (folder / f"{name}.sql").write_text(f"{text}\n", encoding="utf-8")


def load(folder: Path, home: Path) -> None:
    """The databases as they were."""
    for name in DATABASES:
        with closing(sqlite3.connect(home / f"{name}.db")) as database:
            database.executescript((folder / f"{name}.sql").read_text(encoding="utf-8"))


def _entry(number: int, vault: Vault) -> Ready:
    intent = number % 2 == 0
    contents = {
        0: (Content("prompt", "text/plain", SECRET.encode(), subject="person:a"),),
        1: (Content("answer", "text/plain", ERASED.encode(), subject="person:b"),),
        2: (Content("request", "text/plain", b"not kept", subject="person:a", keep=False),),
    }.get(number, ())
    draft = Draft(
        "tool.intent" if intent else "tool.result",
        f"run:{number % 3}",
        "model:m",
        about={} if intent else {"intent": f"c{number - 1}"},
        data={"n": number},
        key=f"c{number}" if intent else "",
    )
    return Ready(draft, tuple(vault.seal(one) for one in contents), at_us=(NOW_S + number) * 1_000_000)


if __name__ == "__main__":
    made = GOLDEN / sys.argv[1]
    made.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temp:
        make(made, Path(temp))
