"""The ledger of a state folder: where its files are, who may open them for what, and its signer and witnesses."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mohist.app.ledger_setting import LedgerSettings
from mohist.ledger import Draft, LedgerError, SealedError, decode, note
from mohist.ledger.errors import RootKeyError
from mohist.ledger.export import export
from mohist.ledger.log import Log
from mohist.ledger.name import Names
from mohist.ledger.notary import Archive, Notary, examine
from mohist.ledger.retention import erased_keys
from mohist.ledger.share import SharedLedger
from mohist.ledger.signer import RemoteSigner
from mohist.ledger.signing import PUBLIC_KEY, SOCKET
from mohist.ledger.vault import KEY_BYTES, Vault
from mohist.ledger.witness import Witness
from mohist.ledger.writer import Writer

SIGNER_START_S = 20.0
"""How long a signer that was started here may take to answer."""
POLL_S = 0.05
PSEUDONYMS = "pseudonyms"
"""Under this name the key of pseudonyms outlives the root key that it was derived from."""


class LedgerHome:
    """One state folder's ledger.

    Args:
        folder: of its files.
        settings: what holds.
        env: for a signer that is started here.
    """

    def __init__(self, folder: Path, settings: LedgerSettings, env: Mapping[str, str]) -> None:
        self.folder = folder
        self.settings = settings
        self._env = env

    @property
    def log_path(self) -> Path:
        """The log's file."""
        return self.folder / "log.db"

    @property
    def root_key_path(self) -> Path:
        """The file of the root key."""
        return self.settings.root_key_file or self.folder / "root.key"

    @property
    def exists(self) -> bool:
        """Whether anything was ever entered."""
        return self.log_path.exists()

    @property
    def sealed(self) -> str:
        """Why nothing may be entered any more; empty: it may."""
        path = self.folder / "sealed"
        return path.read_text("utf-8").strip() if path.exists() else ""

    def share(self) -> SharedLedger:
        """For entering; this process writes, or hands over to the one that does."""
        return SharedLedger(self.folder, self._writer)

    def read(self) -> Log:
        """For reading.

        Raises:
            LedgerError: there is none, or it can't be read.
        """
        if not self.exists:
            raise LedgerError(f"There is no ledger in {self.folder}.", "It begins with the first run or call.")
        return Log(self.log_path, read_only=True)

    def archive(self) -> Archive:
        """The checkpoints."""
        return Archive(self.folder / "checkpoints.db")

    def vault(self) -> Vault:
        """The keys of contents.

        Raises:
            LedgerError: the root key can't be read, or is another's.
        """
        root_key, path = self._root_key(), self.root_key_path
        aside = path.with_name(f"{path.name}.next")
        try:
            return Vault(self.folder / "keys.db", root_key)
        except RootKeyError:
            # Whoever changed the root key was killed between the key file and the root key's own.
            if not aside.exists():
                raise
            vault = Vault(self.folder / "keys.db", aside.read_bytes())
            aside.replace(path)
            return vault

    def names(self) -> Names:
        """Pseudonyms, and who they are.

        Raises:
            LedgerError: the root key can't be read.
        """
        vault = self.vault()
        try:
            key = vault.kept(PSEUDONYMS)
        finally:
            vault.close()
        return Names(self.folder / "names.db", self._root_key(), key)

    def log_key(self) -> note.VerifierKey:
        """What the log's checkpoints are verified with.

        Raises:
            LedgerError: nothing was ever signed.
        """
        path = self._signer_socket.with_name(PUBLIC_KEY)
        if not path.exists() and self.settings.signer_socket is None:
            self._start_signer()
        try:
            return note.VerifierKey.parse(path.read_text("utf-8"))
        except OSError as error:
            raise LedgerError(
                f"The log's verifier key is not in {path}: {error.strerror}.", "Start its signer once."
            ) from error

    def witnesses(self) -> list[Witness]:
        """Those that are named."""
        made = []
        for line in self.settings.witnesses:
            key, url, *monitoring = line.split()
            made.append(Witness(note.VerifierKey.parse(key), url, monitoring[0] if monitoring else ""))
        return made

    def policy(self) -> str:
        """The log and its witnesses as a C2SP tlog-policy, for auditors to start from."""
        lines = [f"log {self.log_key()}"]
        names = []
        for number, line in enumerate(self.settings.witnesses, 1):
            names.append(f"w{number}")
            lines.append(f"witness w{number} {line.split()[0]} {line.split()[1]}")
        if not names:
            return "\n".join([*lines, "quorum none", ""])
        return "\n".join([*lines, f"group witnesses {self.settings.quorum} {' '.join(names)}", "quorum witnesses", ""])

    def notary(self, alarm: Callable[[SealedError], None] | None = None, *, signs: bool = True) -> Notary:
        """Signs and has witnessed; what it finds wrong seals the ledger.

        Args:
            alarm: is told of it as well.
            signs: False: it is only asked how things stand, so no signer is started.

        Raises:
            LedgerError: there is no ledger yet, or no signer.
        """
        if self.settings.signer_socket is None and signs:
            self._start_signer()

        def seal(error: SealedError) -> None:
            self.seal(error)
            if alarm is not None:
                alarm(error)

        return Notary(
            self.read(),
            self.archive(),
            self._signer(),
            self.witnesses(),
            quorum=self.settings.quorum,
            alarm=seal,
        )

    def examine(self) -> list[str]:
        """Compares the log with what was signed and witnessed of it; returns what could not be compared.

        Raises:
            SealedError: it is not what it was; it is sealed from now on.
            LedgerError: it can't be read.
        """
        log, archive, witnesses = self.read(), self.archive(), self.witnesses()
        try:
            if archive.newest() is None and not witnesses:
                log.recompute()
                return []
            return examine(log, archive, self.log_key(), witnesses)
        except SealedError as error:
            self.seal(error)
            raise
        finally:
            for witness in witnesses:
                witness.close()
            archive.close()
            log.close()

    def replay(self) -> int:
        """Erases again what a restored backup brought back of subjects who were erased; how many keys it was.

        Raises:
            LedgerError: the log can't be read, or the key file not written.
        """
        log = self.read()
        erasures = list(erased_keys(log))
        log.close()
        if not erasures:
            return 0
        vault, names = self.vault(), self.names()
        count = 0
        try:
            for subject, key_ids in erasures:
                back = [kid for kid in key_ids if vault.subject(kid) is not None]
                if back:
                    vault.forget(back)
                    count += len(back)
                # Somebody who came back since has a key again, and a name.
                if subject and not vault.key_ids(subject):
                    names.forget(subject)
        finally:
            names.close()
            vault.close()
        return count

    def seal(self, error: SealedError) -> None:
        """Nothing is entered from now on, by any process, until a person removes the file."""
        (self.folder / "sealed").write_text(f"{error}\n", encoding="utf-8")

    def rest(self) -> None:
        """Ends the signer that was started here, so that nothing is left running; the next one to need it starts it."""
        if self.settings.signer_socket is None and (self.folder / "signer" / SOCKET).exists():
            self._signer().end()

    def _signer(self) -> RemoteSigner:
        return RemoteSigner(self._signer_socket, self._start_signer if self.settings.signer_socket is None else None)

    @property
    def _signer_socket(self) -> Path:
        return self.settings.signer_socket or self.folder / "signer" / SOCKET

    def _writer(self) -> Writer:
        """Opens the log for writing, once it was compared with what is known of it."""
        if said := self.sealed:
            raise SealedError(
                f"The ledger is sealed: {said}",
                f"Look at `mohist ledger check`; a person who knows why may remove {self.folder / 'sealed'}.",
            )
        begins = not self.exists
        if not begins:
            self.examine()
            self.replay()
        log = Log(self.log_path, self._origin())
        writer = Writer(log, self.vault())
        if begins:
            writer.append(Draft("log.open", "log", "system:mohist", data={"origin": log.origin}))
        return writer

    def _origin(self) -> str:
        """The log's name: the configured one, else one that is made up once."""
        path = self.folder / "origin"
        if not path.exists():
            name = self.settings.origin or f"mohist.local/{os.urandom(6).hex()}"
            path.write_text(f"{name}\n", encoding="utf-8")
        known = path.read_text("utf-8").strip()
        if self.settings.origin and known != self.settings.origin:
            raise LedgerError(
                f"The ledger in {self.folder} is named {known}, and ledger.origin says {self.settings.origin}.",
                "A log keeps its name; set the old one, or give the new log another state folder.",
            )
        return known

    def _root_key(self) -> bytes:
        path = self.root_key_path
        try:
            if self.settings.root_key_file is None and not path.exists():
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                # Made aside and linked: of two processes that begin at once, both use the key of the first.
                aside = path.with_name(f"root.key.{os.getpid()}")
                with open(aside, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                    file.write(os.urandom(KEY_BYTES))
                    file.flush()
                    os.fsync(file.fileno())
                try:
                    path.hardlink_to(aside)
                except FileExistsError:
                    pass
                finally:
                    aside.unlink()
            if path.stat().st_mode & 0o077:
                raise LedgerError(f"Others may read the ledger's root key {path}.", f"chmod 600 {path}")
            key = path.read_bytes()
        except OSError as error:
            raise LedgerError(f"The ledger's root key {path} can't be read: {error.strerror}.") from error
        if len(key) != KEY_BYTES:
            raise LedgerError(f"The ledger's root key {path} has {len(key)} bytes, not {KEY_BYTES}.")
        return key

    def _start_signer(self) -> None:
        """Has a signer answer on this folder's own socket.

        Raises:
            LedgerError: none does, in time.
        """
        from mohist.sandbox import start_detached

        folder = self.folder / "signer"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        until = time.monotonic() + SIGNER_START_S
        started = False
        while not _answers(folder / SOCKET):
            if not started:
                env = {name: value for name, value in self._env.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
                arguments = [str(folder), "--origin", self._origin()]
                start_detached("mohist.ledger.signing", arguments, env=env, log=folder / "log")
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


def open_home(home: Path, settings: LedgerSettings, env: Mapping[str, str]) -> LedgerHome | None:
    """The ledger of a state folder; None: it is switched off."""
    return LedgerHome(home / "ledger", settings, env) if settings.on else None


def export_all(
    home: LedgerHome,
    folder: Path,
    *,
    streams: Sequence[str] = (),
    only: Sequence[str] = (),
    tell: Callable[[int, int], None] | None = None,
    gone: Callable[[list[str]], None] = lambda _: None,
) -> tuple[int, str]:
    """Signs the log as it is, asks the witnesses, and writes a bundle.

    Args:
        home: the ledger.
        folder: written to.
        streams: whose contents are shown, with their keys.
        only: the streams whose entries are shown, of all others only hashes; empty: all.
        tell: is told how far it is.
        gone: is told the digests of contents that are not there any more.

    Returns:
        How many entries, and the key that they are verified with.

    Raises:
        LedgerError: it can't be signed or written.
    """
    notary = home.notary()
    try:
        signed = notary.checkpoint()
    finally:
        notary.close()
    log, vault, archive = home.read(), home.vault(), home.archive()
    try:
        wanted = [
            named["digest"]
            for stream in streams
            for _, leaf in log.stream(stream)
            for named in decode(leaf).get("payload", ())
            if "digest" in named
        ]
        size = signed.checkpoint.size
        gone(
            export(
                log,
                folder,
                signed,
                earlier=archive.every(size),
                policy=home.policy(),
                vault=vault,
                contents=wanted,
                streams=only,
                tell=tell,
            )
        )
    finally:
        archive.close()
        vault.close()
        log.close()
    key = str(home.log_key())
    home.rest()
    return size, key
