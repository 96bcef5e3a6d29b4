"""One ledger for all of a machine's processes: one of them writes, the others hand their entries to it.

Whoever holds the lock file writes, and serves a socket beside it. When that process ends or is killed, the next one that has
something to enter takes its place; what it had not acknowledged is sent again under the same key and is entered once.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import socket
import struct
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import orjson

from mohist.ledger import form
from mohist.ledger.entry import Content, Draft, Receipt
from mohist.ledger.errors import EntryError, LedgerBusyError, LedgerError, LostError, SealedError
from mohist.ledger.writer import Writer, first_of

_log = logging.getLogger(__name__)

MAX_FRAME_BYTES = 64 * 1024 * 1024
"""Of one handing-over: contents included, which grow by a third on the way."""
TAKE_OVER_S = 30.0
"""How long entries wait for somebody who writes, before their callers are refused."""
POLL_S = 0.05
_ERRORS: dict[str, type[LedgerError]] = {
    kind.__name__: kind for kind in (LedgerError, EntryError, SealedError, LedgerBusyError, LostError)
}


class SharedLedger:
    """See `port.Ledger`.

    Args:
        folder: of the lock file and the socket; the same for all processes.
        open_writer: opens the log for writing, with all that is due before that; called once this process writes.
        take_over_s: how long to wait for somebody who writes.
    """

    def __init__(self, folder: Path, open_writer: Callable[[], Writer], take_over_s: float = TAKE_OVER_S) -> None:
        self._folder = folder
        self._open_writer = open_writer
        self._take_over_s = take_over_s
        self._guard = threading.RLock()
        self._writer: Writer | None = None
        self._server: _Server | None = None
        self._link: _Link | None = None
        self._lock_file: int | None = None
        self._closed = False
        self._name = os.urandom(8).hex()
        self._count = 0
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes."""
        return self._writer is not None

    def submit(self, draft: Draft) -> Future[Receipt]:
        """See `port.Ledger`."""
        return first_of(self._enter([draft]))

    def append(self, draft: Draft) -> Receipt:
        """See `port.Ledger`."""
        return self.extend([draft])[0]

    def extend(self, drafts: Sequence[Draft]) -> list[Receipt]:
        """See `port.Ledger`."""
        if not drafts:
            return []
        return self._enter(list(drafts)).result()

    def close(self) -> None:
        """Writes what is queued and lets go; another process may write then."""
        with self._guard:
            self._closed = True
            writer, server, link, self._writer, self._server, self._link = (
                self._writer, self._server, self._link, None, None, None,
            )  # fmt: skip
        if server is not None:
            server.close()
        if writer is not None:
            writer.close()
        if link is not None:
            link.close()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _enter(self, drafts: list[Draft]) -> Future[list[Receipt]]:
        with self._guard:
            self._count += 1
            handed = _Handed(f"{self._name}/{self._count}", drafts, time.time_ns() // 1000)
            try:
                self._hand(handed)
            except LedgerError as error:
                handed.done.set_exception(error)
        return handed.done

    def _hand(self, handed: _Handed) -> None:
        """Gives it to whoever writes; becomes that where nobody is.

        Raises:
            LedgerError: nobody writes, and this process can't.
        """
        until = time.monotonic() + self._take_over_s
        while True:
            if self._closed:
                raise LedgerBusyError("The ledger is closed.")
            if self._writer is not None:
                _into(self._writer, handed)
                return
            if self._link is not None:
                if self._link.hand(handed):
                    return
                # It broke. What was on its way goes first: a stream is in the order in which it was handed in.
                lost, self._link = self._link.take(), None
                self._resend(lost)
                continue
            if self._lead() or self._connect():
                continue
            if time.monotonic() > until:
                raise LedgerBusyError(
                    f"Another process writes to the ledger in {self._folder} and has not answered for {self._take_over_s:g} s."
                )
            time.sleep(POLL_S)

    def _lead(self) -> bool:
        lock_file = os.open(self._folder / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock_file)
            return False
        try:
            self._writer = self._open_writer()
            self._server = _Server(self._folder / "writer.sock", self._writer)
        except BaseException:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            os.close(lock_file)
            raise
        self._lock_file = lock_file
        return True

    def _connect(self) -> bool:
        link = socket.socket(socket.AF_UNIX)
        try:
            link.connect(str(self._folder / "writer.sock"))
        except OSError:
            link.close()
            return False
        self._link = _Link(link, self._again)
        return True

    def _again(self, link: _Link) -> None:
        """Sends what a link that broke had not acknowledged, where nobody has; called from the link's own thread."""
        with self._guard:
            if self._link is link:
                self._link = None
            self._resend(link.take())

    def _resend(self, lost: list[_Handed]) -> None:
        nobody: LedgerBusyError | None = None
        for handed in lost:
            try:
                if nobody is not None:
                    # Where nobody came for the first, the others don't wait again.
                    raise nobody
                self._hand(handed)
            except LedgerBusyError as error:
                nobody = error
                handed.done.set_exception(error)
            except LedgerError as error:
                handed.done.set_exception(error)


class _Handed:
    """Drafts on their way."""

    def __init__(self, key: str, drafts: list[Draft], at_us: int) -> None:
        self.key = key
        self.drafts = drafts
        self.at_us = at_us
        self.done: Future[list[Receipt]] = Future()


def _into(writer: Writer, handed: _Handed) -> None:
    """Gives it to this process's writer.

    Raises:
        LedgerError: it is refused.
    """
    ready = [
        writer.ready(draft, at_us=handed.at_us, retry_key=f"{handed.key}/{number}")
        for number, draft in enumerate(handed.drafts)
    ]

    def pass_on(done: Future[list[Receipt]]) -> None:
        error = done.exception()
        if error is not None:
            handed.done.set_exception(error)
        else:
            handed.done.set_result(done.result())

    writer.enter(ready).add_done_callback(pass_on)


class _Link:
    """To the process that writes."""

    def __init__(self, link: socket.socket, again: Callable[[_Link], None]) -> None:
        self._socket = link
        self._again = again
        self._lock = threading.Lock()
        self._waiting: dict[str, _Handed] = {}
        self._broken = False
        self._thread = threading.Thread(target=self._read, name="mohist-ledger-link", daemon=True)
        self._thread.start()

    def hand(self, handed: _Handed) -> bool:
        """Sends it; whether the link still holds."""
        frame = orjson.dumps({"key": handed.key, "at": handed.at_us, "drafts": [_written(d) for d in handed.drafts]})
        if len(frame) > MAX_FRAME_BYTES:
            raise EntryError(f"An entry with its contents has {len(frame)} bytes; at most {MAX_FRAME_BYTES} are taken.")
        with self._lock:
            if self._broken:
                return False
            self._waiting[handed.key] = handed
            try:
                self._socket.sendall(struct.pack(">I", len(frame)) + frame)
            except OSError:
                # The reading side will see it too, and has it sent again from there.
                self._socket.close()
            return True

    def take(self) -> list[_Handed]:
        """What is not acknowledged, in its order; once."""
        with self._lock:
            lost = list(self._waiting.values())
            self._waiting.clear()
        return lost

    def close(self) -> None:
        """Breaks the link; what waits is sent again by whoever made it, unless that is closed."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _read(self) -> None:
        while (frame := _frame(self._socket)) is not None:
            answer = orjson.loads(frame)
            with self._lock:
                handed = self._waiting.pop(answer["key"])
            if "error" in answer:
                kind = _ERRORS.get(answer["error"], LedgerError)
                handed.done.set_exception(kind(answer["what"], answer["mend"]))
            else:
                handed.done.set_result([Receipt(r[0], bytes.fromhex(r[1]), *r[2:]) for r in answer["receipts"]])
        with self._lock:
            self._broken = True
            self._socket.close()
        self._again(self)


class _Server:
    """Takes what others hand over."""

    def __init__(self, path: Path, writer: Writer) -> None:
        self._writer = writer
        self._links: set[socket.socket] = set()
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            self._socket.bind(str(path))
        finally:
            os.umask(before)
        self._socket.listen(64)
        self._thread = threading.Thread(target=self._accept, name="mohist-ledger-server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Takes no more; what was taken is still answered as far as it is written."""
        for link in [self._socket, *self._links]:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._socket.accept()
            except OSError:
                return
            self._links.add(link)
            threading.Thread(target=self._serve, args=(link,), name="mohist-ledger-served", daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        lock = threading.Lock()
        try:
            while (frame := _frame(link)) is not None:
                value = orjson.loads(frame)
                handed = _Handed(value["key"], [_read(draft) for draft in value["drafts"]], value["at"])
                handed.done.add_done_callback(lambda done, key=handed.key: _answer(link, lock, key, done))  # type: ignore[misc]
                try:
                    _into(self._writer, handed)
                except LedgerError as error:
                    handed.done.set_exception(error)
        except (KeyError, TypeError, ValueError) as error:
            _log.error("somebody handed the ledger what is no entry: %s", type(error).__name__)
        finally:
            self._links.discard(link)
            link.close()


def _answer(link: socket.socket, lock: threading.Lock, key: str, done: Future[list[Receipt]]) -> None:
    error = done.exception()
    if isinstance(error, LedgerError):
        value: dict[str, Any] = {"key": key, "error": type(error).__name__, "what": error.what, "mend": error.mend}
    elif error is not None:
        value = {"key": key, "error": "LedgerError", "what": f"The ledger failed: {type(error).__name__}.", "mend": ""}
    else:
        receipts = [(r.index, r.leaf.hex(), r.at_us, r.stream, r.sequence) for r in done.result()]
        value = {"key": key, "receipts": receipts}
    frame = orjson.dumps(value)
    with lock:
        try:
            link.sendall(struct.pack(">I", len(frame)) + frame)
        except OSError:
            # It is entered; whoever sent it asks again under the same key.
            _log.info("the process that entered %s is gone", key)


def _frame(link: socket.socket) -> bytes | None:
    """The next one; None: the other side is gone."""
    head = _exactly(link, 4)
    if head is None:
        return None
    (length,) = struct.unpack(">I", head)
    return _exactly(link, length) if length <= MAX_FRAME_BYTES else None


def _exactly(link: socket.socket, count: int) -> bytes | None:
    parts = []
    while count:
        try:
            part = link.recv(min(count, 1 << 20))
        except OSError:
            return None
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _written(draft: Draft) -> dict[str, Any]:
    value = form.written(draft)
    if draft.contents:
        value["contents"] = [
            [one.name, one.media, b64encode(one.data).decode(), one.subject, one.keep] for one in draft.contents
        ]
    return value


def _read(value: dict[str, Any]) -> Draft:
    return form.read(
        value,
        tuple(
            Content(name, media, b64decode(data), subject, keep)
            for name, media, data, subject, keep in value.get("contents", ())
        ),
    )
