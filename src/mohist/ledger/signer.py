"""Signs checkpoints, and remembers what it signed: a log that contradicts its own past gets no signature.

Runs as a process of its own, best under a user of its own: whoever takes over the log's writer still can't sign another past.
Asked over a socket in the file system, in the words of C2SP tlog-witness's add-checkpoint: the size that was signed last, the
proof that leads from there, and the new checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mohist.ledger import note, tree
from mohist.ledger.errors import LedgerBusyError, LedgerError, ProofError, SealedError

MAX_REQUEST_BYTES = 64 * 1024
TIMEOUT_S = 10.0
_REFUSED = b"refused "
_UNKNOWN = b"last "
_END = b"end"


class Signer:
    """A log's key and memory.

    Args:
        origin: of the log; the only one that it signs for.
        key: the log's.
        memory: file with the last signed checkpoint; made where it is not.

    Raises:
        LedgerError: the memory is of another log or can't be read: it does not begin anew on its own.
    """

    def __init__(self, origin: str, key: Ed25519PrivateKey, memory: Path) -> None:
        self.origin = origin
        self._key = key
        self._memory = memory
        self._lock = threading.Lock()
        self._last = self._remembered()

    @property
    def verifier_key(self) -> note.VerifierKey:
        """What verifies its signatures."""
        return note.VerifierKey(self.origin, note.ED25519, self._key.public_key().public_bytes_raw())

    @property
    def last(self) -> note.Checkpoint | None:
        """What it signed last."""
        return self._last

    def sign(self, checkpoint: note.Checkpoint, old: int, proof: Sequence[bytes]) -> note.Signature:
        """Signs what goes on from where it signed last.

        Args:
            checkpoint: to be signed.
            old: the size that the proof begins at; what was signed last.
            proof: of consistency from there.

        Raises:
            LedgerBusyError: something else was signed since; ask again from `last`.
            ProofError: the checkpoint contradicts what was signed.
            LedgerError: it can't be remembered, so it isn't signed.
        """
        with self._lock:
            known = self._last or note.Checkpoint(self.origin, 0, tree.EMPTY_ROOT)
            if checkpoint.origin != self.origin:
                raise ProofError(f"This signer signs for {self.origin}, not for {checkpoint.origin}.")
            if old != known.size:
                raise LedgerBusyError(f"The size that was signed last is {known.size}, not {old}.")
            check(known, checkpoint, proof)
            signature = note.sign(checkpoint, self.origin, self._key)
            # Remembered before it is given away: a crash between the two costs a signature, never a contradiction.
            self._remember(note.SignedCheckpoint(checkpoint, (signature,)))
            self._last = checkpoint
            return signature

    def _remembered(self) -> note.Checkpoint | None:
        try:
            text = self._memory.read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise LedgerError(f"The signer's memory {self._memory} can't be read: {error}.") from error
        try:
            signed = note.parse(text)
            ours = signed.checkpoint.origin == self.origin and signed.signed_by(self.verifier_key)
        except ProofError as error:
            raise LedgerError(f"The signer's memory {self._memory} is damaged: {error}", _DAMAGED) from error
        if not ours:
            raise LedgerError(f"The signer's memory {self._memory} is not of {self.origin} under this key.", _DAMAGED)
        return signed.checkpoint

    def _remember(self, signed: note.SignedCheckpoint) -> None:
        aside = self._memory.with_name(self._memory.name + ".new")
        try:
            with open(aside, "w", encoding="utf-8", opener=_private) as file:
                file.write(str(signed))
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._memory)
            folder = os.open(self._memory.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise LedgerError(f"The signer can't remember what it signs: {error}.", "Nothing was signed.") from error


_DAMAGED = "Restore it from the newest checkpoint that a witness has; without it the log can't go on under this key."


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def check(known: note.Checkpoint, new: note.Checkpoint, proof: Sequence[bytes]) -> None:
    """That a checkpoint goes on from a known one of the same log.

    Raises:
        ProofError: it does not.
    """
    if new.size < known.size:
        raise ProofError(f"The log {new.origin} had {known.size} entries and has {new.size} now: its end was cut off.")
    if known.size == 0:
        if proof or (new.size == 0 and new.root != tree.EMPTY_ROOT):
            raise ProofError(f"The log {new.origin} does not begin as a log begins.")
        return
    try:
        old_root, new_root = tree.roots_of_consistency(known.size, known.root, new.size, proof)
    except ValueError as error:
        raise ProofError(f"The proof from {known.size} to {new.size} entries can't be followed: {error}.") from error
    if (old_root, new_root) != (known.root, new.root):
        raise ProofError(
            f"The first {known.size} entries of {new.origin} are not those that were signed: its past was changed."
        )


def request_text(old: int, proof: Sequence[bytes], checkpoint: str) -> str:
    """An add-checkpoint request (C2SP tlog-witness)."""
    return f"old {old}\n" + "".join(f"{b64encode(one).decode()}\n" for one in proof) + "\n" + checkpoint


class _Handler(socketserver.StreamRequestHandler):
    timeout = TIMEOUT_S
    server: SignerServer

    def handle(self) -> None:
        data = self.rfile.read(MAX_REQUEST_BYTES)
        # Who only wanted to know whether somebody is here has gone by now.
        with contextlib.suppress(BrokenPipeError):
            self.wfile.write(self.server.answer(data))


class SignerServer(socketserver.ThreadingUnixStreamServer):
    """Answers a signer's requests on a socket in the file system.

    Args:
        path: of the socket; an old one is replaced. Whoever may connect may ask for signatures.
        signer: asked.
        told: is told of what was refused; that is an alarm.
    """

    daemon_threads = True

    def __init__(self, path: Path, signer: Signer, told: Callable[[str], None]) -> None:
        self._signer = signer
        self._told = told
        self.asked_s = time.monotonic()
        """When something was asked last, on the monotonic clock."""
        self.over = False
        """Whoever started it needs it no more."""
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            super().__init__(str(path), _Handler)
        finally:
            os.umask(before)

    def answer(self, data: bytes) -> bytes:
        """One request's."""
        self.asked_s = time.monotonic()
        if data == _END:
            self.over = True
            return _UNKNOWN + b"0\n"
        try:
            head, _, text = data.decode().partition("\n\n")
            lines = head.split("\n")
            if not text:
                last = self._signer.last
                known = str(last.size) if last else "0"
                return _UNKNOWN + known.encode() + b"\n"
            old = int(lines[0].removeprefix("old "))
            proof = [note.decoded_hash(line, "a hash of a proof") for line in lines[1:]]
            origin, size, root = text.removesuffix("\n").split("\n")
            checkpoint = note.Checkpoint(origin, int(size), note.decoded_hash(root, "a root"))
            return str(self._signer.sign(checkpoint, old, proof)).encode()
        except LedgerBusyError:
            last = self._signer.last
            return _UNKNOWN + str(last.size if last else 0).encode() + b"\n"
        except (LedgerError, ValueError) as error:
            self._told(str(error))
            return _REFUSED + str(error).encode()


class RemoteSigner:
    """Asks a signer in another process.

    Args:
        path: of its socket.
        revive: starts it anew where it does not answer; None: that is somebody else's affair.
    """

    def __init__(self, path: Path, revive: Callable[[], None] | None = None) -> None:
        self._path = path
        self._revive = revive

    def end(self) -> None:
        """Lets it end now instead of after its idle time; one that stays by order stays."""
        with contextlib.suppress(LedgerError):
            self._once(_END)

    def last_size(self) -> int:
        """What it signed last.

        Raises:
            LedgerError: it does not answer.
        """
        return int(self._ask(b"last").removeprefix(_UNKNOWN))

    def sign(self, checkpoint: note.Checkpoint, old: int, proof: Sequence[bytes]) -> note.Signature:
        """See `Signer.sign`.

        Raises:
            LedgerBusyError: something else was signed since.
            SealedError: it refused.
            LedgerError: it does not answer.
        """
        answer = self._ask(request_text(old, proof, checkpoint.text).encode())
        if answer.startswith(_UNKNOWN):
            raise LedgerBusyError(
                f"The signer has signed {answer.removeprefix(_UNKNOWN).decode().strip()} entries by now."
            )
        if answer.startswith(_REFUSED):
            raise SealedError(
                f"The signer refused: {answer.removeprefix(_REFUSED).decode('utf-8', 'replace')}",
                "The log contradicts what was signed before. Nothing more is entered until a person has looked at it.",
            )
        (signature,) = note.parse_signatures(answer.decode("utf-8", "replace"))
        return signature

    def _ask(self, data: bytes) -> bytes:
        try:
            return self._once(data)
        except LedgerError:
            if self._revive is None:
                raise
            self._revive()
            return self._once(data)

    def _once(self, data: bytes) -> bytes:
        try:
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(TIMEOUT_S)
                link.connect(str(self._path))
                link.sendall(data)
                link.shutdown(socket.SHUT_WR)
                parts = []
                while part := link.recv(MAX_REQUEST_BYTES):
                    parts.append(part)
        except OSError as error:
            raise LedgerError(
                f"The signer at {self._path} does not answer: {error}.", "Start it: `mohist ledger signer`."
            ) from error
        if not parts:
            raise LedgerError(f"The signer at {self._path} said nothing.", "Its own output says why.")
        return b"".join(parts)
