"""The ledger of a state folder: where its files are, who may open them for what, and its signer and witnesses."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from mohist.app.ledger_place import FilePlace, Place
from mohist.app.ledger_secret import read_root_key, start_signer
from mohist.app.ledger_setting import LedgerSettings
from mohist.ledger import Draft, LedgerError, SealedError, decode, note
from mohist.ledger.errors import RootKeyError
from mohist.ledger.export import export
from mohist.ledger.name import Names, pseudonym_key
from mohist.ledger.notary import Archive, Notary, examine, holds
from mohist.ledger.retention import erased_keys, holding
from mohist.ledger.share import SharedLedger
from mohist.ledger.signer import RemoteSigner
from mohist.ledger.signing import PUBLIC_KEY, SOCKET
from mohist.ledger.store import Store
from mohist.ledger.vault import Vault, commitment
from mohist.ledger.witness import Witness
from mohist.ledger.writer import Writer

PSEUDONYMS = "pseudonyms"
"""Under this name the key of pseudonyms outlives the root key that it was derived from; machines that share a log compare theirs."""
SIGNER = "signer"
"""Under this name machines that share a log agree on the key that it is signed with: one of them has it."""


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
        self._signs = False
        self._place = self._placed()

    @property
    def root_key_path(self) -> Path:
        """The file of the root key."""
        return self.settings.root_key_file or self.folder / "root.key"

    @property
    def exists(self) -> bool:
        """Whether anything was ever entered."""
        return self._place.exists

    @property
    def shared(self) -> bool:
        """Whether other machines enter in the same log, each with keys of its own for contents."""
        return self._place.shared

    @property
    def sealed(self) -> str:
        """Why nothing may be entered any more; empty: it may."""
        path = self.folder / "sealed"
        return path.read_text("utf-8").strip() if path.exists() else self._place.sealed

    def share(self) -> SharedLedger:
        """For entering; this process writes, or hands over to the one that does."""
        return SharedLedger(self.folder, self._writer)

    def read(self) -> Store:
        """For reading.

        Raises:
            LedgerError: there is none, or it can't be read.
        """
        return self._place.read()

    def drop(self, digests: Sequence[str]) -> None:
        """Deletes contents and their keys.

        Raises:
            LedgerError: they can't be deleted.
        """
        self._place.drop(digests)

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
        with closing(self.vault()) as vault:
            key = vault.kept(PSEUDONYMS)
        return Names(self.folder / "names.db", self._root_key(), key)

    def log_key(self) -> note.VerifierKey:
        """What the log's checkpoints are verified with.

        Raises:
            LedgerError: nothing was ever signed.
        """
        path = self._signer_socket.with_name(PUBLIC_KEY)
        if self.shared and (known := self._shared_key()):
            return note.VerifierKey.parse(known)
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
        if signs:
            if self.settings.signer_socket is None:
                self._start_signer()
            if not self.signs():
                raise LedgerError(
                    f"The log is signed by another machine, with the key {self.log_key()}.",
                    "Ask there; one machine has the key of a log that several share.",
                )

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

    def signs(self) -> bool:
        """Whether the log is signed here; of machines that share one, the first that asks has the key from then on.

        Raises:
            LedgerError: that can't be told now.
        """
        if not self._signs:
            path = self._signer_socket.with_name(PUBLIC_KEY)
            if self.shared and self.settings.signer_socket is None and not path.exists():
                if self._shared_key():
                    return False
                self._start_signer()
            own = path.read_text("utf-8").strip() if path.exists() else ""
            self._signs = not self.shared or (bool(own) and self._shared_key(own) == own)
        return self._signs

    def _shared_key(self, own: str = "") -> str:
        """The key that machines have agreed on, by saying one's own where there is none; empty: there is none.

        Raises:
            SealedError: it is not the one that this machine knows.
        """
        path = self.folder / "log.pub"
        known = path.read_text("utf-8").strip() if path.exists() else ""
        agreed = self._place.agree(SIGNER, known or own) if self._place.exists else known
        if known and agreed != known:
            raise SealedError(
                f"The ledger's database names the log's key {agreed}, and this machine knows {known}.",
                f"Another log was put in its place; a person who knows why may remove {path}.",
            )
        if agreed and not known:
            path.write_text(f"{agreed}\n", encoding="utf-8")
        return agreed

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
        """Erases again what a restored backup brought back of subjects who were erased, and here who was erased on another machine.

        Returns:
            How many keys it was.

        Raises:
            LedgerError: the log can't be read, or the key file not written.
        """
        log = self.read()
        vault, names = self.vault(), self.names()
        try:
            erasures = list(erased_keys(log))
            done, waiting = vault.followed() if self.shared else (len(erasures), [])
            # Of another machine's erasures this one's keys are not named, nor was it asked what is under a hold here.
            others = dict.fromkeys([*waiting, *(subject for subject, _ in erasures[done:])])
            waiting = [subject for subject in others if holding(log, subject, vault.key_ids(subject))]
            named = [kid for _, key_ids in erasures for kid in key_ids]
            own = [kid for subject in others if subject not in waiting for kid in vault.key_ids(subject)]
            back = [kid for kid in dict.fromkeys([*named, *own]) if vault.subject(kid) is not None]
            if back:
                vault.forget(back)
            for subject, _ in erasures:
                # Somebody who came back since has a key again, and a name.
                if subject and not vault.key_ids(subject):
                    names.forget(subject)
            if self.shared:
                vault.follow(len(erasures), waiting)
        finally:
            names.close()
            vault.close()
            log.close()
        return len(back)

    def seal(self, error: SealedError) -> None:
        """Nothing is entered from now on, by any process, until a person removes the file."""
        (self.folder / "sealed").write_text(f"{error}\n", encoding="utf-8")
        self._place.seal(str(error))

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
        origin = self._origin()
        with ExitStack() as undo:
            book = self._place.book(origin)
            undo.callback(book.close)
            if self.shared:
                self._agree()
            if begins and self.shared:
                # From its first entry on a log in a database says whose signature counts, in every backup of it.
                self.signs()
            writer = Writer(book, self.vault())
            undo.pop_all()
            undo.callback(writer.close)
            if begins:
                # Under a key where it is shared: of two machines that begin at once, one opens it.
                key = "log.open" if self.shared else ""
                writer.append(Draft("log.open", "log", "system:mohist", data={"origin": origin}, key=key))
            undo.pop_all()
        return writer

    def _agree(self) -> None:
        """That people have the same pseudonyms on all machines that share the log: else one's erasure means nobody elsewhere."""
        with closing(self.vault()) as vault:
            key = vault.kept(PSEUDONYMS) or pseudonym_key(self._root_key())
        own = commitment(key, PSEUDONYMS.encode())
        if self._place.agree(PSEUDONYMS, own) != own:
            raise LedgerError(
                "This machine has another root key than the one that began the log, so people would have other pseudonyms here.",
                f"Copy that machine's root key to {self.root_key_path}, before anything is kept under this one's.",
            )

    def _placed(self) -> Place:
        if not self.settings.database_url:
            return FilePlace(self.folder / "log.db")
        from mohist.app.ledger_base import BasePlace, Watch
        from mohist.ledger.postgres import Address

        address = Address(self.settings.database_url, self.settings.database_password_file)
        return BasePlace(address, Watch(self._glance, self.examine, self.seal, self.replay))

    def _glance(self, log: Store) -> None:
        """Whether a log that was just connected to is one that this machine knows: a restored backup is not."""
        with closing(self.archive()) as archive:
            newest = archive.newest()
        try:
            if newest is not None:
                holds(log, newest.checkpoint, "was signed")
        except SealedError as error:
            self.seal(error)
            raise

    def _origin(self) -> str:
        """The log's name: the configured one, else one that is made up once."""
        path = self.folder / "origin"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            name = self.settings.origin or self._place.origin() or f"mohist.local/{os.urandom(6).hex()}"
            path.write_text(f"{name}\n", encoding="utf-8")
        known = path.read_text("utf-8").strip()
        if self.settings.origin and known != self.settings.origin:
            raise LedgerError(
                f"The ledger in {self.folder} is named {known}, and ledger.origin says {self.settings.origin}.",
                "A log keeps its name; set the old one, or give the new log another state folder.",
            )
        return known

    def _root_key(self) -> bytes:
        return read_root_key(self.root_key_path, make=self.settings.root_key_file is None)

    def _start_signer(self) -> None:
        start_signer(self.folder / "signer", self._origin, self._env)


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
