"""The guard from the configuration: detectors, rules, keys and records put together, for a server and for a run."""

from __future__ import annotations

import hmac
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mohist.app.errors import ConfigError
from mohist.app.presence import make_once
from mohist.app.screening import Screening
from mohist.base import Clock, MohistError, StatePaths
from mohist.guard import Digest, Limits, Scanner, keyed
from mohist.guard.placeholder import Mint
from mohist.guard.preset import PRESETS
from mohist.guard.ruling import Rule, Rulebook

if TYPE_CHECKING:
    from mohist.gateway.guard import Block, Inbound, Outbound, Pass, Replace
    from mohist.gateway.route import Route
    from mohist.gateway.screen import Screen
    from mohist.gateway.screen.archive import Archive
    from mohist.gateway.screen.book import Book
    from mohist.gateway.screen.lookout import Lookout
    from mohist.gateway.screen.note import Take

_log = logging.getLogger(__name__)

KEY_FILE: Final = "guard.key"
CLIENTS_FILE: Final = "guard-clients.json"
"""What was observed of how clients' templates vary, in the state folder."""
KEY_BYTES: Final = 32
MIN_KEY_BYTES: Final = 16
_MAX_KEY_BYTES: Final = 4_096


def _logged(count: int) -> None:
    _log.warning("compiling %d patterns of the guard: some seconds, once for these rules", count)


def scanner(
    settings: Screening,
    paths: StatePaths,
    env: Mapping[str, str],
    *,
    waits: bool = True,
    begun: Callable[[int], object] = _logged,
) -> Scanner:
    """What looks at texts; takes seconds where its patterns were never compiled before, else a tenth of one.

    Args:
        settings: what is asked of the guard.
        paths: where its key is, and its cache if nobody says otherwise.
        env: names the cache.
        waits: False: it begins at once, and searches a hundred times slower where nothing was compiled before; still milliseconds for a result.
        begun: told how many patterns are about to be compiled, where that takes seconds; left out, the log is.

    Raises:
        GuardError: something that it needs can't be read or taken.
    """
    from mohist.app.detector import detectors
    from mohist.guard.matcher import build_matcher

    found = detectors(settings, paths.home, guard_key(settings, paths))
    return Scanner(
        found,
        build_matcher(found, cache=cache_folder(paths, env), engine="auto" if waits else "kept", begun=begun),
        digest(settings, paths),
        limits(settings),
    )


def limits(settings: Screening) -> Limits:
    """What reading may cost."""
    return Limits(**settings.limits)


def cache_folder(paths: StatePaths, env: Mapping[str, str]) -> Path:
    """Where compiled patterns are kept; the same for all installations of one user."""
    shared = env.get("XDG_CACHE_HOME", "")
    return Path(shared) / "mohist" / "guard" if shared.startswith("/") else paths.cache / "guard"


def digest(settings: Screening, paths: StatePaths) -> Digest:
    """How values are named without showing them."""
    return keyed(_derived(guard_key(settings, paths), b"digest"))


def mint(settings: Screening, paths: StatePaths) -> Mint:
    """What makes placeholders."""
    return Mint(_derived(guard_key(settings, paths), b"placeholder"))


def guard_key(settings: Screening, paths: StatePaths) -> bytes:
    """The company's key; made where none is named and there is none yet.

    Raises:
        ConfigError: it can't be read, or is too short.
    """
    path = settings.key_file or paths.home / KEY_FILE
    try:
        if settings.key_file is None:
            make_once(path, lambda: secrets.token_hex(KEY_BYTES).encode())
        data = path.read_bytes()[: _MAX_KEY_BYTES + 1].strip()
    except OSError as error:
        raise ConfigError(f"The guard's key {str(path)!r} can't be read: {error.strerror}.", "Mend its mode or owner.") from error  # fmt: skip
    if not MIN_KEY_BYTES <= len(data) <= _MAX_KEY_BYTES:
        raise ConfigError(
            f"The guard's key {str(path)!r} holds {len(data)} bytes.",
            f"Put {KEY_BYTES} random bytes there, in hex or not.",
        )
    return data


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.new(key, b"mohist guard " + purpose, sha256).digest()


def rulebook(settings: Screening) -> Rulebook:
    """The rules in force.

    Raises:
        GuardRuleError: two have one name.
    """
    return Rulebook((*map(_rule, settings.rules), *PRESETS[settings.preset]), tuple(map(_rule, settings.tightening)))


def _rule(row: Mapping[str, Any]) -> Rule:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return Rule(**values)


def own_models(routes: Iterable[Route]) -> tuple[str, ...]:
    """The models that only machines of one's own serve."""
    return tuple(
        name
        for route in routes
        if all(upstream.self_hosted for upstream in route.upstreams)
        for name in (route.names or (route.model,))
    )


def describe(settings: Screening) -> str:
    """One line on what is in force."""
    if settings.mode == "off":
        return "guard: off, nothing that is sent or answered is looked at"
    does = "enforcing" if settings.mode == "enforce" else "only observing, nothing is stopped:"
    own = f" behind {len(settings.rules)} rule(s) of your own" if settings.rules else ""
    project = f", tightened by {len(settings.tightening)} of the project" if settings.tightening else ""
    without = f", without {', '.join(settings.without)}" if settings.without else ""
    names = "" if settings.names_model is None else f", names by {settings.names_model!r}"
    failure = "" if settings.on_failure == "closed" else "; calls that can't be looked at pass unseen"
    return f"guard: {does} the rules {settings.preset!r}{own}{project}{without}{names}{failure}"


@dataclass(frozen=True, slots=True)
class Guarding:
    """What a guard in a process needs.

    Attributes:
        settings: what is asked of it.
        paths: where its key is, and its cache if nobody says otherwise.
        env: names the cache.
        clock: time.
        open_archive: opens the database that findings go to.
        file: as in `Book`.
        own_models: models on machines of one's own.
        waits: until its patterns are compiled; see `scanner`.
        enter: enters findings in the ledger; None: there is none.
        clients: keeps what is observed of clients over many sessions; None: nothing is observed.
    """

    settings: Screening
    paths: StatePaths
    env: Mapping[str, str]
    clock: Clock
    open_archive: Callable[[], Archive]
    file: Path | None = None
    own_models: Sequence[str] = ()
    waits: bool = True
    enter: Take | None = None
    clients: Path | None = None


class GatewayGuard:
    """Fulfils `mohist.gateway.guard.Guard`; must be started before it is asked.

    Order of use: construct, `start`, calls…, `stop`.
    """

    def __init__(self, needs: Guarding) -> None:
        self._needs = needs
        self._screen: Screen | None = None
        self._book: Book | None = None
        self._lookout: Lookout | None = None

    @property
    def book(self) -> Book | None:
        """Where findings go; None before the start."""
        return self._book

    def start(self) -> None:
        """Compiles, or reads what was compiled; blocks.

        Raises:
            MohistError: something that it needs can't be read or taken.
        """
        from mohist.app.detector import Allowed
        from mohist.gateway.screen import Screen, ScreenSettings
        from mohist.gateway.screen.book import Book
        from mohist.gateway.screen.lookout import Lookout, unwatched

        needs, settings = self._needs, self._needs.settings
        book = Book(needs.open_archive, needs.clock, file=needs.file, keep_days=settings.keep_days, enter=needs.enter)
        allowed = Allowed(settings.allow_list, needs.clock)

        def released(digest: str, rule: str) -> str:
            return book.released(digest, rule) or allowed.by(digest, rule)

        names = digest(settings, needs.paths)
        lookout = None
        if needs.clients is not None:
            lookout = Lookout(needs.clients, names, needs.clock, settings.mode, book.take)
        screen = Screen(
            scanner(settings, needs.paths, needs.env, waits=needs.waits),
            rulebook(settings),
            mint(settings, needs.paths),
            names,
            needs.clock,
            ScreenSettings(settings.mode, settings.hint, settings.answers, tuple(needs.own_models), limits(settings)),
            book.take,
            released,
            unwatched if lookout is None else lookout.see,
        )
        book.start()
        if lookout is not None:
            lookout.start()
        self._screen, self._book, self._lookout = screen, book, lookout

    def stop(self) -> None:
        """Writes down what waits; blocks."""
        if self._lookout is not None:
            self._lookout.stop()
        if self._book is not None:
            self._book.stop()

    def outbound(self, request: Outbound) -> Block | Replace | Pass | None:
        """See `Guard`."""
        return self._started().outbound(request)

    def inbound(self, request: Outbound) -> Inbound | None:
        """See `Guard`."""
        return self._started().inbound(request)

    def _started(self) -> Screen:
        if self._screen is None:
            raise MohistError("The guard was not started.", audience="bug")
        return self._screen
