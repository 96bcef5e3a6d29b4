"""The log in PostgreSQL: writers of any machine put entries into an inbox, and one elected sequencer gives them their places.

Contents' keys never come here; what is written stays in write-ahead logs and backups that nobody can erase.
"""

from mohist.ledger.postgres.inbox import Inbox
from mohist.ledger.postgres.link import Address
from mohist.ledger.postgres.log import PostgresLog
from mohist.ledger.postgres.sequencer import Sequencer

__all__ = ["Address", "Inbox", "PostgresLog", "Sequencer"]
