"""What can go wrong at this package's door.

LedgerError            something was not entered, or can't be shown to have been
├── EntryError         a draft can't become an entry: unknown kind, too large, a value that has no one spelling
├── SealedError        the log is read-only: it contradicts what was signed or witnessed before
├── LedgerBusyError    another process has the log, or it can't keep up
├── LostError          the log's database is away; what was under way may have been entered or not
├── RootKeyError       the key file is under another root key
├── AbsentKeyError     a payload's key is not here: of another machine, or of another copy of the key file
├── ErasedError        a payload's key was deleted; the content is gone, its entry stays
└── ProofError         a proof, a signature or a tile does not hold; names the first thing that is wrong
"""

from __future__ import annotations

from mohist.base import ExitCode, MohistError


class LedgerError(MohistError):
    """Evidence could not be written or read; what depends on it must not go on."""

    exit_code = ExitCode.FAILED
    audience = "operator"


class EntryError(LedgerError):
    """A draft was refused before it was written; a bug of whoever drafted it, or a value that is too long."""


class SealedError(LedgerError):
    """Nothing is appended to this log any more until a person has looked at it."""


class LedgerBusyError(LedgerError):
    """Not now; nothing was written."""


class LostError(LedgerError):
    """The log's database is away; asked again under the same key, an entry is entered once."""


class RootKeyError(LedgerError):
    """The key file is under another root key than the one that was given."""


class AbsentKeyError(LedgerError):
    """The content's key is not in this key file."""


class ErasedError(LedgerError):
    """The content was erased."""


class ProofError(LedgerError):
    """Verification failed."""
