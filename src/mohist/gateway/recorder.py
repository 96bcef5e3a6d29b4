"""Writes down what upstreams answer, as it passes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import orjson

from mohist.gateway.errors import TapeError
from mohist.gateway.request import session_of
from mohist.gateway.tape import DOORS, FILE_NAME, Body, End, Taped, body_of, header_line, line, read_tape
from mohist.gateway.wire import Headers, Origin, Pool, Response, WireError

_KEPT_HEADERS: Final = frozenset(
    {b"user-agent", b"content-type", b"accept", b"anthropic-version", b"anthropic-beta", b"openai-beta"}
)
"""Of a request."""
_KEPT_ANSWER_HEADERS: Final = frozenset({b"content-type", b"content-encoding", b"retry-after", b"retry-after-ms"})
_ACCOUNT_STATUSES: Final = frozenset({401, 402, 403})
"""Their words can quote the key, whole or in part; they are not kept."""
_CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key"})
MAX_TAPED_BYTES: Final = 64 * 1024 * 1024
"""Of one answer, which is in memory until it is written; a longer one is not kept."""


class Tape:
    """A recording that is being written; one line a call, as it ends.

    Args:
        folder: gets `calls.jsonl`; a recording that is there is continued.
        tell: told once when a call can't be written.

    Raises:
        TapeError: the folder can't be written, or what is there is no recording.
    """

    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        file = folder / FILE_NAME
        self._tell = tell
        self._told = False
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            there = file.exists() and file.stat().st_size > 0
            self._last = len(read_tape(file)) if there else 0
            self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not there:
                os.write(self._file, header_line())
        except OSError as error:
            raise TapeError(f"The recording {str(folder)!r} can't be written: {error.strerror}.") from error

    def next_number(self) -> int:
        self._last += 1
        return self._last

    def write(self, call: Taped) -> None:
        """Appends a call; a disk that takes none stops no call."""
        try:
            os.write(self._file, line(call))
        except OSError as error:
            self.leave_out(f"the recording can't be written ({error.strerror})")

    def leave_out(self, why: str) -> None:
        """Says, once, that a call is not written."""
        if not self._told:
            self._told = True
            self._tell(f"{why}; calls are missing from it")

    def close(self) -> None:
        os.close(self._file)


class RecordingPool(Pool):
    """Passes requests to another pool and writes each answer to a tape.

    Args:
        inner: makes the calls; closed with this one.
        tape: closed with this one.
    """

    def __init__(self, inner: Pool, tape: Tape) -> None:
        super().__init__()
        self._inner = inner
        self._tape = tape

    async def request(
        self, origin: Origin, head: bytes, body: bytes, *, connect_timeout_s: float, first_byte_timeout_s: float
    ) -> Response:
        """See Pool. A request without an answer is not written down."""
        begun_s = time.monotonic()
        response = await self._inner.request(
            origin, head, body, connect_timeout_s=connect_timeout_s, first_byte_timeout_s=first_byte_timeout_s
        )
        first, *lines = head.split(b"\r\n")
        path = first.split(b" ")[1].partition(b"?")[0].decode("latin-1")
        headers = [(name.lower(), value) for name, _, value in (row.partition(b": ") for row in lines) if name]
        door = next((door for door in DOORS if path.endswith(door)), "")
        try:
            asked = body_of(door, body)
            value = orjson.loads(body)
        except ValueError:
            return response  # nothing that a replay could know again
        return _Recorded(response, self._tape, begun_s, door, asked, value, headers)

    def close(self) -> None:
        """Breaks every connection; no call is written after it."""
        self._inner.close()
        self._tape.close()


class _Recorded(Response):
    """An answer that is copied as it is read."""

    __slots__ = ("_begun_s", "_call", "_inner", "_keys", "_pieces", "_size_bytes", "_tape", "_written")

    def __init__(
        self,
        inner: Response,
        tape: Tape,
        begun_s: float,
        door: str,
        asked: Body,
        value: dict[str, object],
        headers: Headers,
    ) -> None:
        self._inner = inner
        self._tape = tape
        self._begun_s = begun_s
        self._pieces: list[tuple[int, bytes]] = []
        self._size_bytes = 0
        self._written = False
        self._keys = [value.rpartition(b" ")[2] for name, value in headers if name in _CREDENTIALS]
        self._call = (
            door,
            str(value.get("model", "")),
            value.get("stream") is True,
            session_of(dict(headers)),
            {name.decode(): text.decode("latin-1") for name, text in headers if name in _KEPT_HEADERS},
            asked,
        )
        self.status = inner.status
        self.headers = inner.headers

    async def next(self, timeout_s: float) -> bytes | None:
        try:
            piece = await self._inner.next(timeout_s)
        except WireError:
            self._write("broken")
            raise
        if piece and not self._written:
            self._size_bytes += len(piece)
            if self._size_bytes > MAX_TAPED_BYTES:
                self._written = True
                self._pieces.clear()
                self._tape.leave_out("an answer is too long for the recording")
                return piece
            self._pieces.append((round((time.monotonic() - self._begun_s) * 1000), piece))
        elif piece == b"":
            self._write("whole")
        return piece

    def close(self) -> None:
        self._write("left")
        self._inner.close()

    def _write(self, end: End) -> None:
        if self._written:
            return
        self._written = True
        door, model, stream, session_id, headers, asked = self._call
        pieces = () if self.status in _ACCOUNT_STATUSES else self._cleaned()
        kept = tuple(
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in self.headers
            if name in _KEPT_ANSWER_HEADERS
        )
        number = self._tape.next_number()
        self._tape.write(Taped(number, door, model, stream, session_id, headers, asked, self.status, kept, pieces, end))

    def _cleaned(self) -> tuple[tuple[int, bytes], ...]:
        """The pieces without the key; as one where it stands in them, since the cut between two can go through it."""
        whole = b"".join(piece for _, piece in self._pieces)
        clean = whole
        for key in self._keys:
            if key:
                clean = clean.replace(key, b"[key]")
        return ((self._pieces[-1][0], clean),) if clean != whole else tuple(self._pieces)
