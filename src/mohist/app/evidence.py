"""The ledger as a process uses it: opened when the first entry comes, never on an event loop, and closed with all that is queued."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from mohist.app.ledger_setting import LedgerSettings
from mohist.base import MohistError
from mohist.ledger import Draft, Receipt

if TYPE_CHECKING:
    from mohist.agent.log import RunLog
    from mohist.app.ledger import LedgerHome
    from mohist.gateway.change import Enter
    from mohist.gateway.screen.archive import Release
    from mohist.ledger.name import Names
    from mohist.ledger.notary import Notary
    from mohist.ledger.share import SharedLedger


class Evidence:
    """A process's way to the ledger of its state folder. Safe from several threads.

    Args:
        home: the state folder.
        settings: what holds.
        env: for a signer that is started here.
        tell: is told what people must know: that the ledger is sealed, or can't be signed.
    """

    def __init__(
        self, home: Path, settings: LedgerSettings, env: Mapping[str, str], tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self.settings = settings
        self._home = home
        self._env = env
        self._tell = tell
        self._lock = threading.Lock()
        self._ledger_home: LedgerHome | None = None
        self._ledger: SharedLedger | None = None
        self._names: Names | None = None
        self._notary: Notary | None = None

    def submit(self, draft: Draft) -> Future[Receipt]:
        """See `mohist.ledger.Ledger`; opens the ledger where that was not done yet."""
        try:
            return self._opened()[0].submit(draft)
        except MohistError as error:
            failed: Future[Receipt] = Future()
            failed.set_exception(error)
            return failed

    def append(self, draft: Draft) -> Receipt:
        """See `mohist.ledger.Ledger`.

        Raises:
            LedgerError: it is not entered.
        """
        return self._opened()[0].append(draft)

    def name(self, sort: str, name: str) -> str:
        """A pseudonym.

        Raises:
            LedgerError: it can't be remembered.
        """
        return self._opened()[1].pseudonym(sort, name)

    def begin(self, draft: Draft) -> None:
        """For what serves for long: enters that it begins, and has the log signed and witnessed from now on.

        Raises:
            LedgerError: nothing can be entered.
        """
        ledger, _ = self._opened()
        ledger.append(draft)
        from mohist.app.keeping import prune

        assert self._ledger_home is not None
        home = self._ledger_home
        # The signer is started by the notary's own thread, with the first checkpoint: nobody waits for it.
        self._notary = self._ledger_home.notary(lambda error: self._tell(f"The ledger is SEALED: {error}"), signs=False)
        # Of several processes the one that writes signs, too.
        self._notary.start(
            self.settings.checkpoint_s,
            self.settings.heartbeat_s,
            active=lambda: ledger.writes,
            signs=home.signs,
            beat=lambda: ledger.append(Draft("heartbeat", "heartbeat", "system:notary")),
            daily=partial(prune, home, ledger.append),
        )

    @property
    def home(self) -> LedgerHome:
        """Where the ledger's files are, for reading what was entered."""
        from mohist.app.ledger import LedgerHome

        return LedgerHome(self._home / "ledger", self.settings, self._env)

    def close(self) -> None:
        """Enters what is queued."""
        with self._lock:
            notary, ledger, names = self._notary, self._ledger, self._names
            self._notary = self._ledger = self._names = None
        if notary is not None:
            notary.close()
            if self._ledger_home is not None:
                self._ledger_home.rest()
        if ledger is not None:
            ledger.close()
        if names is not None:
            names.close()

    def _opened(self) -> tuple[SharedLedger, Names]:
        with self._lock:
            if self._ledger is None or self._names is None:
                # Loaded here: what is entered costs a command nothing until there is something to enter.
                from mohist.app.ledger import LedgerHome

                self._ledger_home = LedgerHome(self._home / "ledger", self.settings, self._env)
                self._names = self._ledger_home.names()
                self._ledger = self._ledger_home.share()
            return self._ledger, self._names


def open_evidence(
    home: Path, settings: LedgerSettings, env: Mapping[str, str], tell: Callable[[str], None] = lambda _: None
) -> Evidence | None:
    """None: the ledger is switched off."""
    return Evidence(home, settings, env, tell) if settings.on else None


@contextmanager
def evidence_here(env: Mapping[str, str]) -> Iterator[Evidence | None]:
    """The ledger of this user's state folder, for one command; None: it is switched off."""
    from mohist.app.database import owner_config
    from mohist.base import StatePaths

    evidence = open_evidence(StatePaths.from_env(env).home, owner_config(env).ledger, env)
    try:
        yield evidence
    finally:
        if evidence is not None:
            evidence.close()


def change_entry(evidence: Evidence | None) -> Enter | None:
    """What enters changes of keys and budgets; None: there is no ledger."""
    if evidence is None:
        return None
    from mohist.gateway.entry import change_draft

    keep = evidence.settings.keep_contents
    return lambda change: evidence.append(change_draft(change, evidence.name, keep=keep))


def release_entry(evidence: Evidence | None) -> Callable[[Release], object]:
    """What enters what is let pass."""
    if evidence is None:
        return lambda _release: None
    from mohist.gateway.entry import release_draft

    keep = evidence.settings.keep_contents
    return lambda release: evidence.append(release_draft(release, evidence.name, keep=keep))


def enter_run(
    evidence: Evidence | None, log: RunLog, delivery: str, configuration: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Has a run's log entered in the ledger, where there is one, from its first record on.

    Raises:
        LedgerError: nothing can be entered, so nothing may be done.
    """
    if evidence is not None:
        from mohist.agent.chronicle import RunChronicle
        from mohist.app.user import user_name

        keep = evidence.settings.keep_contents
        name = evidence.name
        RunChronicle(evidence, name, log, person=user_name(), keep=keep, delivery=delivery, configuration=configuration)
