"""What runs wrote, found by blob and by line: an index over the ledger's attributions, made again whenever it is lost."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mohist.ledger import LedgerError, decode
from mohist.ledger.store import Store

INDEX_VERSION = 3
OWN = "dev.mohist"
MAX_PARAMETERS = 500
"""In one SQL statement."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS write (
    entry INTEGER PRIMARY KEY,
    run TEXT NOT NULL,
    delivery TEXT NOT NULL,
    model TEXT NOT NULL,
    tool TEXT NOT NULL,
    prompt INTEGER,
    intent TEXT NOT NULL,
    path TEXT NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    whole INTEGER NOT NULL,
    base TEXT NOT NULL,
    person TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS write_after ON write (after);
CREATE INDEX IF NOT EXISTS write_run ON write (run, path);
CREATE TABLE IF NOT EXISTS line (
    entry INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hash TEXT NOT NULL,
    bare TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS line_entry ON line (entry, number);
CREATE INDEX IF NOT EXISTS line_hash ON line (hash);
CREATE INDEX IF NOT EXISTS line_bare ON line (bare);
CREATE TABLE IF NOT EXISTS mapped (commit_id TEXT NOT NULL, patch_id TEXT NOT NULL, run TEXT NOT NULL, PRIMARY KEY (commit_id, run))
STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS mapped_patch ON mapped (patch_id);
"""

Reveal = Callable[[dict[str, Any]], bytes | None]
"""An entry's payload -> its content; None: it is gone."""


@dataclass(frozen=True, slots=True)
class Write:
    """One write of one call to one file."""

    entry: int
    """Its attribution's index in the ledger."""
    run: str
    delivery: str
    model: str
    tool: str
    prompt: int | None
    """The index of the prompt's entry."""
    intent: str
    path: str
    before: str
    after: str
    """Git's ids of the file's content; empty: there was none."""
    at_us: int
    whole: bool
    base: str = ""
    """The commit that its run began from; empty: none, or not known."""
    person: str = ""
    """Whom it was written for, as a pseudonym."""


class Writings:
    """The index.

    Args:
        path: of its database.

    Raises:
        LedgerError: it can't be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, timeout=10, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")  # it can be made again
            self._prepare()
        except sqlite3.Error as error:
            raise LedgerError(f"The index {path} can't be opened: {error}.", "Remove it; it is made again.") from error

    def close(self) -> None:
        """Lets go of the database."""
        self._db.close()

    def follow(self, log: Store, reveal: Reveal, tell: Callable[[int, int], None] | None = None) -> None:
        """Takes in what the log has gained since.

        Args:
            log: open for reading.
            reveal: opens contents.
            tell: is told how many entries of how many are looked at.
        """
        done = int(self._about("entries") or 0)
        if done > log.size or self._about("origin") not in ("", log.origin):
            self._empty()
            done = 0
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for index, leaf in enumerate(log.leaves(done, log.size), done):
                if b'"attribution' in leaf:
                    self._take(index, decode(leaf), reveal)
                if tell is not None and index % 1024 == 0:
                    tell(index, log.size)
            self._db.executemany(
                "INSERT OR REPLACE INTO about VALUES (?, ?)",
                [("version", str(INDEX_VERSION)), ("origin", log.origin), ("entries", str(log.size))],
            )
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def by_blob(self, blob: str) -> list[Write]:
        """Writes that left exactly this content."""
        return self._writes("after = ?", (blob,))

    def of_run(self, run: str, path: str) -> list[Write]:
        """A run's writes to a path, in order."""
        return self._writes("run = ? AND path = ?", (run, path))

    def all(self) -> list[Write]:
        """Every write."""
        return self._writes("1", ())

    def written(self) -> list[tuple[Write, int]]:
        """Every write, with the number of its lines."""
        rows = self._db.execute(
            f"SELECT count(line.entry), {_COLUMNS} FROM write LEFT JOIN line USING (entry) GROUP BY entry ORDER BY entry"  # noqa: S608
        )
        return [(_write(row), count) for count, *row in rows]

    def by_line(self, hashes: Iterable[str], *, bare: bool = False) -> dict[str, list[tuple[Write, int]]]:
        """Writes that wrote lines of these hashes, each with the line's number then."""
        wanted = list(set(hashes))
        found: dict[str, list[tuple[Write, int]]] = {}
        column = "bare" if bare else "hash"
        for at in range(0, len(wanted), MAX_PARAMETERS):
            some = wanted[at : at + MAX_PARAMETERS]
            marks = ",".join("?" * len(some))
            rows = self._db.execute(
                f"SELECT line.{column}, line.number, {_COLUMNS} FROM line JOIN write USING (entry) WHERE line.{column} IN ({marks}) ORDER BY entry",  # noqa: S608
                some,
            )
            for digest, number, *rest in rows:
                found.setdefault(digest, []).append((_write(rest), number))
        return found

    def lines_after(self, entry: int, number: int, most: int) -> dict[int, str]:
        """Hashes without blanks of the lines that a write wrote right below a line, by number, up to the first gap."""
        rows = self._db.execute(
            "SELECT number, bare FROM line WHERE entry = ? AND number > ? AND number <= ? ORDER BY number",
            (entry, number, number + most),
        )
        found: dict[int, str] = {}
        for at, digest in rows:
            if at != number + len(found) + 1:
                break
            found[at] = digest
        return found

    def bases(self) -> set[str]:
        """The commits that runs began from."""
        return {base for (base,) in self._db.execute("SELECT DISTINCT base FROM write WHERE base != ''")}

    def names(self) -> set[str]:
        """What the files that runs wrote are called, without their folders."""
        return {path.rpartition("/")[2] for (path,) in self._db.execute("SELECT DISTINCT path FROM write")}

    @property
    def has_patches(self) -> bool:
        """Whether any map entry names a patch."""
        return self._db.execute("SELECT 1 FROM mapped WHERE patch_id != '' LIMIT 1").fetchone() is not None

    def runs_of_commit(self, commit: str, patch_id: str = "") -> set[str]:
        """The runs that a map entry names for a commit, or for another commit of the same patch."""
        rows = self._db.execute(
            "SELECT run FROM mapped WHERE run != '' AND (commit_id = ? OR (patch_id != '' AND patch_id = ?))",
            (commit, patch_id),
        )
        return {run for (run,) in rows}

    def is_mapped(self, commit: str) -> bool:
        """Whether a map entry speaks of a commit."""
        return self._db.execute("SELECT 1 FROM mapped WHERE commit_id = ?", (commit,)).fetchone() is not None

    def _take(self, index: int, entry: dict[str, Any], reveal: Reveal) -> None:
        data, about = entry.get("data", {}), entry.get("about", {})
        if entry["kind"] == "attribution.map":
            # Without a run as well: that it was looked at is known by it.
            rows = [(data["commit"], data.get("patch_id", ""), run) for run in data.get("runs") or [""]]
            self._db.executemany("INSERT OR IGNORE INTO mapped VALUES (?, ?, ?)", rows)
            return
        if "path" not in data or data.get("deleted"):
            return
        prompt = about.get("prompt", "")
        row = (
            index, about.get("run", ""), about.get("delivery", ""), data["model"], data["tool"],
            int(prompt) if prompt else None, about.get("intent", ""), data["path"], data["before"], data["after"],
            entry["at"], int(bool(data.get("whole"))),
        )  # fmt: skip
        payload = next(iter(entry.get("payload", ())), None)
        content = reveal(payload) if payload else None
        record = json.loads(content) if content is not None else {"vcs": {}, "metadata": {OWN: {"lines": []}}}
        base = record["vcs"].get("revision", "")
        marks = ",".join("?" * (len(row) + 2))
        self._db.execute(f"INSERT OR REPLACE INTO write VALUES ({marks})", (*row, base, entry.get("for", "")))  # noqa: S608 - question marks
        lines = record["metadata"][OWN]["lines"]
        self._db.executemany("INSERT INTO line VALUES (?, ?, ?, ?)", [(index, *line) for line in lines])

    def _about(self, name: str) -> str:
        row = self._db.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def _prepare(self) -> None:
        """Makes the tables; those of another version are thrown away."""
        self._db.execute("CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        if self._about("version") not in ("", str(INDEX_VERSION)):
            self._empty()
        self._db.executescript(_SCHEMA)

    def _empty(self) -> None:
        for table in ("write", "line", "mapped", "about"):
            self._db.execute(f"DROP TABLE IF EXISTS {table}")
        self._db.executescript(_SCHEMA)

    def _writes(self, condition: str, values: Sequence[str]) -> list[Write]:
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM write WHERE {condition} ORDER BY entry", values)  # noqa: S608
        return [_write(row) for row in rows]


_COLUMNS = "entry, run, delivery, model, tool, prompt, intent, path, before, after, at_us, whole, base, person"


def _write(row: Sequence[Any]) -> Write:
    entry, run, delivery, model, tool, prompt, intent, path, before, after, at_us, whole, base, person = row
    return Write(
        entry, run, delivery, model, tool, prompt, intent, path, before, after, at_us, bool(whole), base, person
    )
