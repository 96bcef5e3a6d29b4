"""A witness on loopback: C2SP tlog-witness v1.0.0, as far as the ledger asks. Held against another's implementation in test_outsiders."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mohist.ledger import ProofError, note
from mohist.ledger.signer import check
from mohist.ledger.tree import EMPTY_ROOT
from mohist.ledger.witness import Witness

NAME = "witness.example/w1"


@dataclass
class FakeWitness:
    """Remembers one newest checkpoint a log."""

    log_key: note.VerifierKey
    clock: Callable[[], float]
    name: str = NAME
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    newest: note.SignedCheckpoint | None = None
    url: str = ""
    status: int = 0
    """To answer with instead; 0: as the protocol says."""
    asked: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def verifier_key(self) -> note.VerifierKey:
        return note.VerifierKey(self.name, note.COSIGNATURE, self.key.public_key().public_bytes_raw())

    def client(self) -> Witness:
        return Witness(self.verifier_key, self.url)

    def add(self, body: str) -> tuple[int, str]:
        with self.lock:
            self.asked += 1
            if self.status:
                return self.status, ""
            head, _, text = body.partition("\n\n")
            old = int(head.split("\n")[0].removeprefix("old "))
            proof = [note.decoded_hash(line, "a hash") for line in head.split("\n")[1:]]
            signed = note.parse(text)
            if signed.checkpoint.origin != self.log_key.name:
                return 404, ""
            try:
                if not signed.signed_by(self.log_key):
                    return 403, ""
            except ProofError:
                return 403, ""
            known = self.newest.checkpoint if self.newest else note.Checkpoint(self.log_key.name, 0, EMPTY_ROOT)
            if old > signed.checkpoint.size:
                return 400, ""
            if old != known.size:
                return 409, f"{known.size}\n"
            try:
                check(known, signed.checkpoint, proof)
            except ProofError:
                return 422, ""
            line = note.cosign(signed.checkpoint, self.name, self.key, int(self.clock()))
            self.newest = signed.with_signatures([line])
            return 200, str(line)

    def shown(self, path: str) -> tuple[int, str]:
        if path != f"/{sha256(self.log_key.name.encode()).hexdigest()}/checkpoint" or self.newest is None:
            return 404, ""
        return 200, str(self.newest)


@contextmanager
def running(witness: FakeWitness) -> Iterator[FakeWitness]:
    """Serves it on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            self.say(*(witness.add(body) if self.path == "/add-checkpoint" else (404, "")))

        def do_GET(self) -> None:
            self.say(*witness.shown(self.path))

        def say(self, status: int, text: str) -> None:
            data = text.encode()
            self.send_response(status)
            if status == 409:
                self.send_header("content-type", "text/x.tlog.size")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    witness.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield witness
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
