"""The gateway's rules from their file: at the start, and again whenever the file changes while it serves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio

from mohist.app.errors import ConfigError
from mohist.app.presence import is_there
from mohist.base import MohistError, SystemClock
from mohist.gateway.entry import policy_draft
from mohist.gateway.warden import Warden
from mohist.ledger import Draft
from mohist.policy import Rulebook, RuleError, load_rulebook

POLICY_FILE: Final = "gateway-policy.toml"
MANAGED_FILE: Final = Path("/etc/mohist/gateway-policy.toml")
"""The machine's; while it is there no other holds."""
MAX_FILE_BYTES: Final = 1024 * 1024
LOOK_S: Final = 1.0
NO_RULES: Final = "no policy: everything that a key may do is allowed"


def policy_path(home: Path, chosen: Path | None) -> Path:
    """The one file that rules come from: the machine's, else the chosen one, else the state folder's; never a repository's.

    Raises:
        ConfigError: another was chosen than the machine's.
    """
    if not is_there(MANAGED_FILE):
        return chosen or home / POLICY_FILE
    if chosen is not None and Path.cwd() / chosen != MANAGED_FILE:
        raise ConfigError(
            f"--policy {str(chosen)!r} is refused: this machine's rules are those of {MANAGED_FILE}.",
            "Leave --policy out, or have whoever looks after the machine change that file.",
        )
    return MANAGED_FILE


def describe(rulebook: Rulebook | None) -> str:
    """One line on what is in force."""
    if rulebook is None:
        return NO_RULES
    other = "allowed" if rulebook.default == "allow" else "refused"
    return f"policy: {len(rulebook.rules)} rule(s) of {rulebook.origin}, all examples hold; other calls are {other}"


class PolicyFile:
    """Keeps a warden at its file's newest good state. A bad file never replaces a good one, nor does a missing one.

    When the machine's file comes into being, it is followed instead.

    Args:
        path: the file; it may come into being later.
        warden: gets the rules.
        tell: told of every change, in one line.
        enter: enters in the ledger what is in force; rules that it can't enter don't come into force. None: there is no ledger.
        door: who asks, in those entries.
    """

    def __init__(
        self,
        path: Path,
        warden: Warden,
        tell: Callable[[str], None],
        enter: Callable[[Draft], object] | None = None,
        door: str = "serve",
    ) -> None:
        self._path = path
        self._warden = warden
        self._tell = tell
        self._enter = enter
        self._door = door
        self._seen = ""
        """Digest of the text last looked at, or what kept it from being read."""

    def begin(self, *, must_exist: bool) -> None:
        """Puts the file's rules in force before anything is served; blocks on the disk.

        Raises:
            RuleError: it is refused, or not there although it `must_exist`.
        """
        if must_exist or is_there(self._path):
            text = read_text(self._path)
            self._seen = _digest(text)
            self._warden.take(load_rulebook(text, str(self._path)), SystemClock().now_ms())

    def enter(self) -> None:
        """Enters which rules are in force, none too; before anything is served by them.

        Raises:
            LedgerError: it can't be entered.
        """
        self._entered(self._warden.rulebook)

    def look(self) -> None:
        """Takes over a file that changed, or says why not; blocks on the disk, never raises for what a file can be."""
        if self._path != MANAGED_FILE and is_there(MANAGED_FILE):
            self._path = MANAGED_FILE
        try:
            text = read_text(self._path)
        except RuleError as error:
            self._refuse(str(error), str(error))
            return
        digest = _digest(text)
        if digest == self._seen:
            return
        try:
            rulebook = load_rulebook(text, str(self._path))
        except RuleError as error:
            self._refuse(digest, str(error))
            return
        try:
            self._entered(rulebook)
        except MohistError as error:
            # Not taken for seen: it is tried again at each look.
            self._refuse(f"unentered {digest}", f"it can't be entered in the ledger: {error}")
            return
        self._seen = digest
        self._warden.take(rulebook, SystemClock().now_ms())
        self._tell(describe(rulebook))

    async def watch(self, interval_s: float = LOOK_S) -> None:
        """Looks again and again until it is cancelled."""
        while True:
            await anyio.sleep(interval_s)
            await anyio.to_thread.run_sync(self.look)

    def _entered(self, rulebook: Rulebook | None) -> None:
        if self._enter is not None:
            said = ("", 0, "allow") if rulebook is None else (rulebook.digest, len(rulebook.rules), rulebook.default)
            self._enter(policy_draft(*said, self._door))

    def _refuse(self, seen: str, why: str) -> None:
        if seen == self._seen or (self._warden.rulebook is None and not is_there(self._path)):
            return
        self._seen = seen
        self._warden.trouble = why
        kept = "the rules read before stay in force" if self._warden.rulebook is not None else NO_RULES
        self._tell(f"policy file refused: {why} ({kept})")


def read_text(path: Path) -> str:
    """A rule file's text.

    Raises:
        RuleError: there is none, it is too large, or no text.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise RuleError(f"{path}: the file is larger than {MAX_FILE_BYTES // 1024} KiB.", "Is it the right file?")
        return data.decode("utf-8")
    except OSError as error:
        raise RuleError(f"{path}: it can't be read: {error.strerror}.", "See docs/gateway-policy.md.") from error
    except UnicodeDecodeError as error:
        raise RuleError(f"{path}: it is not UTF-8 text.", "See docs/gateway-policy.md.") from error


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
