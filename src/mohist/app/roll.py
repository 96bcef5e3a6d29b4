"""Keeps the gateway at the newest good state of the register: the database's, and the machine's file where there is one.

A file that can't be read never replaces a good one, nor does a missing one; nor does a database that is away.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

from mohist.app.presence import is_there
from mohist.app.register import MANAGED_FILE, read_register
from mohist.base import MohistError
from mohist.gateway.register import RegisterStore
from mohist.gateway.registrar import Registrar
from mohist.ledger import Draft, Value
from mohist.policy.register import Register, as_text

if TYPE_CHECKING:
    from mohist.gateway.address import Address

LOOK_S: Final = 1.0


def describe(registers: tuple[Register, ...]) -> str:
    """One line on what is in force."""
    listed = sum(len(register.entries) for register in registers)
    denies = any(register.settings.unlisted == "deny" for register in registers)
    if not listed and not denies:
        return "register: no entries, every tool may call"
    return f"register: {listed} entries, tools that are in none are {'refused' if denies else 'allowed'}"


class Roll:
    """Order of use: construct, `begin`, then `watch` until cancelled, `close`.

    Args:
        registrar: gets the registers.
        address: the database.
        tell: told of every change, in one line.
        enter: enters in the ledger which file is in force; one that can't be entered doesn't come into force. None: there is none.
        managed: the machine's file.
    """

    def __init__(
        self,
        registrar: Registrar,
        address: Address,
        tell: Callable[[str], None],
        enter: Callable[[Draft], object] | None = None,
        managed: Path = MANAGED_FILE,
    ) -> None:
        self._registrar = registrar
        self._address = address
        self._tell = tell
        self._enter = enter
        self._managed = managed
        self._store: RegisterStore | None = None
        self._revision = -1
        self._kept: Register | None = None
        self._file: Register | None = None
        # A connection belongs to one thread.
        self._thread = ThreadPoolExecutor(1, "mohist-register")

    async def begin(self) -> None:
        """Puts the registers in force before anything is served.

        Raises:
            RegisterError: the machine's file is refused.
            StoreError: the database can't be read.
            LedgerError: the file can't be entered.
        """
        await self._run(self._load)

    async def watch(self, interval_s: float = LOOK_S) -> None:
        """Looks again and again until it is cancelled."""
        while True:
            await anyio.sleep(interval_s)
            await self.look()

    async def look(self) -> None:
        """Takes over what changed, or says why not."""
        try:
            await self._run(self._load)
        except MohistError as error:
            if self._registrar.trouble != str(error):
                self._registrar.trouble = str(error)
                self._tell(f"register: what was read before stays in force: {error}")
            return
        self._registrar.trouble = ""

    async def close(self) -> None:
        """Lets the connection go."""
        await self._run(self._release)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _load(self) -> None:
        file = read_register(self._managed) if is_there(self._managed) else self._file
        changed = file != self._file
        if changed and file is not None and self._enter is not None:
            self._enter(file_draft(file))
        self._file = file
        try:
            changed |= self._read()
        except MohistError:
            self._release()
            if changed:
                self._take()
            raise
        if changed:
            self._take()

    def _read(self) -> bool:
        """Whether the database says something else than before."""
        if self._store is None:
            self._store = RegisterStore(self._address)
        number = self._store.revision()
        if number == self._revision:
            return False
        kept = self._store.register()
        self._revision = number
        changed = kept != self._kept
        self._kept = kept
        return changed

    def _take(self) -> None:
        found = tuple(register for register in (self._file, self._kept) if register is not None)
        self._registrar.take(found)
        self._tell(describe(found))

    def _release(self) -> None:
        store, self._store = self._store, None
        self._revision = -1
        if store is not None:
            store.close()


def file_draft(register: Register) -> Draft:
    """Which register of a file is in force from now on."""
    digest = hashlib.sha256(as_text(register).encode()).hexdigest()
    data: dict[str, Value] = {"action": "register.file", "digest": digest, "entries": len(register.entries)}
    return Draft("register", "register", "system:gateway", data=data)
