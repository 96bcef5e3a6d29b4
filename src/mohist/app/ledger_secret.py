"""What a ledger's folder has of secrets: the root key of its contents, and the signer that holds the log's key."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from mohist.app.presence import make_once
from mohist.ledger import LedgerError
from mohist.ledger.signing import SOCKET
from mohist.ledger.vault import KEY_BYTES

SIGNER_START_S = 20.0
"""How long a signer that was started here may take to answer."""
POLL_S = 0.05


def read_root_key(path: Path, *, make: bool) -> bytes:
    """The root key out of its file.

    Args:
        path: of the file.
        make: makes one where there is none.

    Raises:
        LedgerError: it can't be read, others can, or it is none.
    """
    try:
        if make:
            make_once(path, lambda: os.urandom(KEY_BYTES))
        if path.stat().st_mode & 0o077:
            raise LedgerError(f"Others may read the ledger's root key {path}.", f"chmod 600 {path}")
        key = path.read_bytes()
    except OSError as error:
        raise LedgerError(f"The ledger's root key {path} can't be read: {error.strerror}.") from error
    if len(key) != KEY_BYTES:
        raise LedgerError(f"The ledger's root key {path} has {len(key)} bytes, not {KEY_BYTES}.")
    return key


def start_signer(folder: Path, origin: Callable[[], str], env: Mapping[str, str]) -> None:
    """Has a signer answer on a folder's own socket.

    Args:
        folder: the signer's; made where it is not.
        origin: says the log's name, where a signer is started.
        env: of which a signer that is started gets what it needs.

    Raises:
        LedgerError: none does, in time.
    """
    from mohist.sandbox import start_detached

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    until = time.monotonic() + SIGNER_START_S
    started = False
    while not _answers(folder / SOCKET):
        if not started:
            kept = {name: value for name, value in env.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
            start_detached("mohist.ledger.signing", [str(folder), "--origin", origin()], env=kept, log=folder / "log")
            started = True
        if time.monotonic() > until:
            raise LedgerError(f"No signer answers in {folder}.", f"Its own words are in {folder / 'log'}.")
        time.sleep(POLL_S)


def _answers(path: Path) -> bool:
    if not path.exists():
        return False
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(1.0)
        try:
            link.connect(str(path))
        except OSError:
            return False
        return True
