"""The signer's process: `python -m mohist.ledger.signing FOLDER`.

Keeps the log's key and its memory in the folder, serves the socket `signer.sock` in it, and ends after a while without requests
unless it is told to stay. One folder has one such process: a second one ends at once.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mohist.base import MohistError
from mohist.ledger import note
from mohist.ledger.errors import LedgerError
from mohist.ledger.signer import Signer, SignerServer

IDLE_S = 120.0
"""Longer than the time between two checkpoints of a log that is in use."""
SOCKET = "signer.sock"
PUBLIC_KEY = "key.pub"
MEMORY = "memory"
_KEY_BYTES = 32


def key_of(folder: Path, origin: str) -> Ed25519PrivateKey:
    """The log's key; made at the first start, with its public part beside it.

    Raises:
        LedgerError: it can't be read or kept, or others may read it.
    """
    path = folder / "key"
    try:
        if not path.exists():
            if (folder / MEMORY).exists():
                raise LedgerError(
                    f"The signing key {path} is gone.", "Restore it; under a new one this would be another log."
                )
            aside = folder / "key.new"
            with open(aside, "wb", opener=_private) as file:
                file.write(Ed25519PrivateKey.generate().private_bytes_raw())
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        if path.stat().st_mode & 0o077:
            raise LedgerError(f"Others may read the signing key {path}.", f"chmod 600 {path}")
        data = path.read_bytes()
    except OSError as error:
        raise LedgerError(f"The signing key {path} can't be read: {error.strerror}.") from error
    if len(data) != _KEY_BYTES:
        raise LedgerError(
            f"{path} is no signing key.", "It has 32 bytes. Restore it; a new one would be another log's."
        )
    key = Ed25519PrivateKey.from_private_bytes(data)
    public = note.VerifierKey(origin, note.ED25519, key.public_key().public_bytes_raw())
    (folder / PUBLIC_KEY).write_text(f"{public}\n", encoding="utf-8")
    return key


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until nothing was asked for a while."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--origin", required=True)
    parser.add_argument("--stay", action="store_true", help="don't end when nothing is asked")
    asked = parser.parse_args(arguments)
    folder: Path = asked.folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return 0
    os.truncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    try:
        signer = Signer(asked.origin, key_of(folder, asked.origin), folder / MEMORY)
        with SignerServer(folder / SOCKET, signer, lambda said: print(said, file=sys.stderr, flush=True)) as server:
            server.timeout = 1.0
            while asked.stay or not (server.over or time.monotonic() - server.asked_s >= IDLE_S):
                server.handle_request()
    except MohistError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    finally:
        os.close(lock)
    return 0


if __name__ == "__main__":
    sys.exit(main())
