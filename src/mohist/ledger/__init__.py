"""The ledger: evidence of what happened, in one append-only Merkle log that an outsider can check with a public key.

Never working state: whoever needs to know what to do next has a store of its own.
"""

from mohist.ledger.entry import CLOSES, KINDS, Content, Draft, Kind, Receipt, Sealed, Value, decode, encode
from mohist.ledger.errors import EntryError, ErasedError, LedgerBusyError, LedgerError, ProofError, SealedError
from mohist.ledger.port import Ledger

__all__ = [
    "CLOSES",
    "KINDS",
    "Content",
    "Draft",
    "EntryError",
    "ErasedError",
    "Kind",
    "Ledger",
    "LedgerBusyError",
    "LedgerError",
    "ProofError",
    "Receipt",
    "Sealed",
    "SealedError",
    "Value",
    "decode",
    "encode",
]
