"""What is done to the contents of a ledger: holds, erasures, retention, and another root key. Each is entered before it is done."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mohist.app.ledger import PSEUDONYMS, LedgerHome
from mohist.ledger import Content, Draft, LedgerBusyError, LedgerError, Receipt
from mohist.ledger.name import pseudonym_key
from mohist.ledger.retention import ERASURES, HOLDS, held, holding, overdue
from mohist.ledger.vault import KEY_BYTES

Enter = Callable[[Draft], Receipt]


@dataclass(frozen=True, slots=True)
class Erased:
    """A subject of whom nothing can be read any more."""

    subject: str
    keys: int
    named: bool
    """Whether there was a name, too."""
    entry: int


def hold(home: LedgerHome, target: str, because: str, by: str, *, on: bool = True) -> Receipt:
    """Puts a stream or a subject under a hold, or lifts it.

    Raises:
        LedgerError: it can't be entered, so it does not hold; or there is nothing to lift.
    """
    log = home.read()
    try:
        if not on and target not in held(log):
            raise LedgerError(f"{target} is under no hold.", "`mohist ledger hold` names those that are.")
    finally:
        log.close()
    reason = Content("reason", "text/plain", because.encode("utf-8", "replace"))
    return _entered(home, Draft("hold", HOLDS, _who(home, by), data={"target": target, "held": on}, contents=(reason,)))


def subject_of(home: LedgerHome, said: str) -> str:
    """The pseudonym that is meant: itself, or that of a person's name."""
    vault, names = home.vault(), home.names()
    try:
        by_name = names.find("person", said)
        known = vault.key_ids(by_name) or names.name(by_name) is not None
        return by_name if known else said
    finally:
        names.close()
        vault.close()


def erase(home: LedgerHome, subject: str, because: str, by: str) -> Erased:
    """Makes all that is kept of a subject unreadable for good, and forgets its name.

    Raises:
        LedgerError: nothing is kept of it, a hold forbids it, or it can't be entered; nothing is erased then.
    """
    vault, names, log = home.vault(), home.names(), home.read()
    try:
        key_ids, named = vault.key_ids(subject), names.name(subject) is not None
        # Of a log that several machines share, another one may keep something of it.
        if not key_ids and not named and not (home.shared and subject.startswith("person:")):
            raise LedgerError(f"Nothing is kept of {subject}.", "Say a pseudonym (person:…) or a person's name.")
        if hindered := holding(log, subject, key_ids):
            raise LedgerError(
                f"{subject} can't be erased: {hindered} is under a hold.", "Lift it first: mohist ledger hold --lift"
            )
        reason = Content("reason", "text/plain", because.encode("utf-8", "replace"))
        # The entry first: an erasure that nobody can account for would be worse than one that has to be asked for twice.
        draft = Draft(
            "erasure", ERASURES, _who(home, by), about={"subject": subject}, data={"keys": key_ids}, contents=(reason,)
        )
        receipt = _entered(home, draft)
        vault.erase(subject)
        names.forget(subject)
    finally:
        log.close()
        names.close()
        vault.close()
    return Erased(subject, len(key_ids), named, receipt.index)


def prune(home: LedgerHome, enter: Enter | None = None, now_us: int | None = None) -> int:
    """Drops the contents whose time is over; how many.

    Args:
        home: the ledger, whose settings say how long.
        enter: the way to the ledger of this process, where it has one.
        now_us: microseconds since 1970; None: now.

    Raises:
        LedgerError: it can't be entered, and nothing is dropped; or the file can't be written.
    """
    days = home.settings.retention
    if not days:
        return 0
    log, vault = home.read(), home.vault()
    try:
        digests = overdue(
            log, vault, days, now_us if now_us is not None else time.time_ns() // 1000, own_only=home.shared
        )
    finally:
        vault.close()
        log.close()
    if not digests:
        return 0
    rules = [f"{kind} {count}" for kind, count in days.items()]
    draft = Draft("erasure", ERASURES, "system:retention", data={"contents": len(digests), "retention": rules})
    if enter is None:
        _entered(home, draft)
    else:
        enter(draft)
    home.drop(digests)
    return len(digests)


def rotate_root(home: LedgerHome, by: str) -> Receipt:
    """Another root key for the key file; the old one opens nothing any more, not even an old block of the disk.

    Killed in between, the next start finds both root keys and takes the one that fits.

    Raises:
        LedgerBusyError: another process writes, and has the old root key in its memory.
        LedgerError: it can't be entered or written.
    """
    path = home.root_key_path
    ledger = home.share()
    try:
        receipt = ledger.append(Draft("configuration", "log", _who(home, by), data={"root_key": "changing"}))
        if not ledger.writes:
            raise LedgerBusyError(
                "Another process writes to the ledger, with the old root key.", "Stop the server, then try again."
            )
        vault = home.vault()
        try:
            fresh, aside = os.urandom(KEY_BYTES), path.with_name(f"{path.name}.next")
            write_key(aside, fresh)
            vault.change_root(fresh, {PSEUDONYMS: pseudonym_key(path.read_bytes())})
            aside.replace(path)
            _flush(path.parent)
        except OSError as error:
            raise LedgerError(f"The root key {path} can't be written: {error.strerror}.") from error
        finally:
            vault.close()
    finally:
        ledger.close()
    return receipt


def write_key(path: Path, key: bytes) -> None:
    """A file that only its owner may read, flushed."""
    path.unlink(missing_ok=True)
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    _flush(path.parent)


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _entered(home: LedgerHome, draft: Draft) -> Receipt:
    ledger = home.share()
    try:
        return ledger.append(draft)
    finally:
        ledger.close()


def _who(home: LedgerHome, by: str) -> str:
    names = home.names()
    try:
        return names.pseudonym("person", by)
    finally:
        names.close()
