"""Watches over sessions whether a client's templates vary with who asks; keeps what was observed in a file.

`see` touches memory alone and takes one request a session; a thread does the counting, writes the file, and takes down what is
suspected as findings `covert.variation`. What comes faster than it can count is let go by: a channel shows in many sessions.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Final

from mohist.base import Clock, MohistError, light_dataclass
from mohist.gateway.guard import Outbound
from mohist.gateway.screen.note import Noted, Take
from mohist.guard import Block, Digest, GuardDataError
from mohist.guard.covert import WATCHED, Suspicion, Variation
from mohist.guard.ruling import Mode

_log = logging.getLogger(__name__)

RULE: Final = "covert.variation"
MAX_WAITING: Final = 64
"""Sessions that wait to be counted."""
MAX_WAITING_CHARS: Final = 16 * 1024 * 1024
"""Of their texts, in memory."""
MAX_SESSIONS: Final = 4_096
"""That are known to have been seen; of more, the oldest may be offered again, and is not counted again."""
MAX_FILE_BYTES: Final = 64 * 1024 * 1024
SAVE_S: Final = 60.0
"""How often at most the file is written; a killed process loses what came since."""

Watch = Callable[[Outbound, Sequence[Block]], None]
"""Is shown each request on its way out, with its texts; from several threads, takes microseconds."""


def unwatched(_request: Outbound, _blocks: Sequence[Block]) -> None:
    """Nobody watches."""


@light_dataclass(frozen=True, slots=True)
class _Seen:
    request: Outbound
    """Without its body."""
    blocks: tuple[Block, ...]


class Lookout:
    """Order of use: construct, `start`, `see`…, `stop`.

    Args:
        file: keeps what was observed; of several processes with one file, the last to write is what is kept.
        digest: names askers and sessions.
        clock: time.
        mode: noted with what is found; nothing is ever stopped.
        take: gets what is suspected, each client's field once a process.
        save_s: how often at most the file is written.
    """

    def __init__(
        self, file: Path, digest: Digest, clock: Clock, mode: Mode, take: Take, *, save_s: float = SAVE_S
    ) -> None:
        self._file = file
        self._digest = digest
        self._clock = clock
        self._mode: Mode = mode
        self._take = take
        self._save_s = save_s
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._waiting: list[_Seen] = []
        self._waiting_chars = 0
        self._poke = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._told: set[tuple[str, str, str]] = set()
        self.passed_by = 0
        """Sessions that were not counted, because too many waited."""
        self.trouble = ""
        """What fails; empty when all is well."""

    def start(self) -> None:
        """Begins; the file is read when the first session comes."""
        self._thread = threading.Thread(target=self._run, name="mohist-guard-lookout", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Counts what waits and writes the file; blocks on the disk."""
        self._stopping = True
        self._poke.set()
        if self._thread is not None:
            self._thread.join()

    def see(self, request: Outbound, blocks: Sequence[Block]) -> None:
        """Takes in a request if it is the first of its session; one without a session's id is not looked at."""
        place = (request.principal.key_id, request.session_id)
        if not request.session_id or place in self._known:
            return
        watched = tuple(block for block in blocks if block.source in WATCHED)
        size = sum(len(block.text) for block in watched)
        with self._lock:
            if place in self._known:
                return
            self._known[place] = None
            if len(self._known) > MAX_SESSIONS:
                self._known.popitem(last=False)
            if len(self._waiting) >= MAX_WAITING or self._waiting_chars + size > MAX_WAITING_CHARS:
                self.passed_by += 1
                return
            self._waiting.append(_Seen(_bodiless(request), watched))
            self._waiting_chars += size
        self._poke.set()

    def _run(self) -> None:
        variation: Variation | None = None
        saved_s, changed, last = self._clock.monotonic_s(), False, False
        while not last:
            self._poke.wait(self._save_s if changed else None)
            self._poke.clear()
            last = self._stopping
            try:
                seen = self._taken()
                if seen and variation is None:
                    variation = kept(self._file)
                if variation is not None:
                    changed = self._count(variation, seen) or changed
                    if changed and (last or self._clock.monotonic_s() - saved_s >= self._save_s):
                        _write(self._file, variation.to_bytes())
                        saved_s, changed = self._clock.monotonic_s(), False
                self.trouble = ""
            except GuardDataError as error:
                # What was observed is lost with the file; to begin anew is all that is left.
                self.trouble = str(error)
                _log.warning("what was observed of clients is given up: %s", error)
                variation = Variation()
            except (MohistError, OSError) as error:
                self.trouble = str(error) if isinstance(error, MohistError) else type(error).__name__
                _log.warning("what was observed of clients is not kept: %s", self.trouble)

    def _taken(self) -> list[_Seen]:
        with self._lock:
            seen, self._waiting, self._waiting_chars = self._waiting, [], 0
        return seen

    def _count(self, variation: Variation, seen: Sequence[_Seen]) -> bool:
        counted = False
        for one in seen:
            request = one.request
            name, version = client_of(request.client)
            asker = self._digest(f"{request.principal.key_id}\0{request.principal.user}")
            session = self._digest(f"{request.principal.key_id}\0{request.session_id}")
            if not variation.observe(name, version, asker, session, one.blocks):
                continue
            counted = True
            for suspicion in variation.suspicions():
                field = (suspicion.client, suspicion.version, suspicion.place)
                if field[:2] == (name, version) and field not in self._told:
                    self._told.add(field)
                    self._take([self._noted(request, suspicion)])
        return counted

    def _noted(self, request: Outbound, suspicion: Suspicion) -> Noted:
        principal, destination = request.principal, request.destination
        return Noted(
            call_id=request.call_id,
            at_ms=self._clock.now_ms(),
            direction="out",
            mode=self._mode,
            action="note",
            ruling="",
            released="",
            alarm=False,
            detector="covert",
            rule=RULE,
            data_class=RULE,
            confidence=min(1 - suspicion.chance, 0.99),
            digest=self._digest(f"{suspicion.client}\0{suspicion.version}\0{suspicion.place}"),
            place=f"{suspicion.place}: {suspicion.ways} ways by {suspicion.askers} askers, {suspicion.characters}",
            via="",
            dialect=request.dialect,
            client=request.client,
            session_id=request.session_id,
            model=request.model,
            key_id=principal.key_id,
            user=principal.user,
            project=principal.project,
            team=principal.team,
            upstream=destination.upstream,
            vendor=destination.vendor,
            region=destination.region,
            self_hosted=destination.self_hosted,
        )


def client_of(said: str) -> tuple[str, str]:
    """Name and version of a client that calls itself "claude-cli/2.1.330 (external, cli)"."""
    first = said.split(maxsplit=1)[0] if said.strip() else ""
    name, _, version = first.partition("/")
    return name, version


def kept(file: Path) -> Variation:
    """What was observed; nothing where there is no file.

    Raises:
        GuardDataError: it is damaged, too large, or can't be read.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return Variation()
    except OSError as error:
        raise GuardDataError(f"The watch over clients {str(file)!r} can't be read ({error.strerror}).") from None
    if len(content) > MAX_FILE_BYTES:
        raise GuardDataError(f"The watch over clients {str(file)!r} is larger than {MAX_FILE_BYTES} bytes.")
    return Variation.from_bytes(content)


def _write(file: Path, content: bytes) -> None:
    draft = file.with_name(f".{file.name}.{token_hex(4)}")
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(handle, "wb") as opened:
            opened.write(content)
        draft.replace(file)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _bodiless(request: Outbound) -> Outbound:
    return Outbound(
        request.call_id,
        request.principal,
        request.client,
        request.dialect,
        request.session_id,
        request.model,
        request.destination,
        b"",
    )
