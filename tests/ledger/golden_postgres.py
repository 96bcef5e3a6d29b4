"""Makes tests/golden/ledger-postgres/filled-<n>.sql: a small log in PostgreSQL, as this version writes it.

    PYTHONPATH=tests:tests/ledger python tests/ledger/golden_postgres.py filled-1

Run once for each schema that was published; what is there is never made anew, since later versions have to read it.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from fakes.postgres import Postgres
from mohist.ledger import Draft
from mohist.ledger.entry import Sealed
from mohist.ledger.form import pack
from mohist.ledger.postgres import Address, PostgresLog
from mohist.ledger.postgres.link import SCHEMA
from mohist.ledger.store import Ready, SealedContent

GOLDEN = Path(__file__).parent.parent / "golden" / "ledger-postgres"
ORIGIN = "log.example/golden"
NOW_S = 1_790_000_000
SIZE = 258
CIPHERTEXT = b"what is sealed, as far as the log can tell"
CONTENT = SealedContent(
    Sealed("prompt", "text/plain", 7, hashlib.sha256(CIPHERTEXT).hexdigest(), "ab" * 32, "0123456789abcdef"),
    b"a wrapped key",
    CIPHERTEXT,
)
WAITING = b"waits here"


def entry(number: int) -> Ready:
    """Half of them have a key; the first has a content."""
    draft = Draft(
        "tool.intent", f"run:{number % 3}", "model:m", data={"n": number}, key=f"c{number}" if number % 2 == 0 else ""
    )
    return Ready(draft, (CONTENT,) if number == 0 else (), (NOW_S + number) * 1_000_000)


def make() -> str:
    """A dump of a log, an entry still in its inbox."""
    server = Postgres()
    try:
        name = server.new_database()
        log = PostgresLog(Address(server.url(name)), ORIGIN)
        log.write([entry(number) for number in range(SIZE)])
        log.agree("signer", "log.example/golden+00000000+key")
        log.db.execute("INSERT INTO inbox (id, body) VALUES (%s, %s)", (WAITING, pack([entry(SIZE)])))
        log.close()
        return server.dump(name, SCHEMA)
    finally:
        server.remove()


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    (GOLDEN / f"{sys.argv[1]}.sql").write_text(make(), encoding="utf-8")
