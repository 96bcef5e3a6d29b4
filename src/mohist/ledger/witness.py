"""Asks witnesses to cosign checkpoints (C2SP tlog-witness v1.0.0). They are what catches an owner who rewrites history.

Any witness that speaks the protocol will do: it has to be run by somebody else, on another machine, to be worth anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import httpx2

from mohist.ledger import note
from mohist.ledger.errors import LedgerError, ProofError, SealedError
from mohist.ledger.signer import request_text

TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Other(Exception):  # noqa: N818 - an answer, not a fault
    """The witness knows another size than the one that was named."""

    size: int


class Witness:
    """One witness.

    Args:
        key: what it cosigns with.
        url: its submission prefix.
        monitoring_url: its monitoring prefix, where that is another.
        client: for tests; None: one of its own.
    """

    def __init__(
        self, key: note.VerifierKey, url: str, monitoring_url: str = "", client: httpx2.Client | None = None
    ) -> None:
        self.key = key
        self.url = url.rstrip("/")
        self._monitoring_url = (monitoring_url or url).rstrip("/")
        self._client = client or httpx2.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)

    def close(self) -> None:
        """Lets go of its connections."""
        self._client.close()

    def cosign(self, signed: note.SignedCheckpoint, old: int, proof: Sequence[bytes]) -> note.Signature:
        """Asks for a cosignature.

        Args:
            signed: the checkpoint with the log's signature.
            old: the size that the witness saw last, as we believe.
            proof: of consistency from there.

        Raises:
            Other: it saw another size; ask again from that.
            SealedError: it says that the checkpoint contradicts what it saw. Its word outweighs ours.
            LedgerError: it can't be asked, or does not know the log.
            ProofError: what it answered is not its cosignature.
        """
        answer = self._send("POST", f"{self.url}/add-checkpoint", request_text(old, proof, str(signed)))
        if answer.status_code == 409:
            raise Other(_size(answer.text))
        if answer.status_code == 422:
            raise SealedError(
                f"The witness {self.key.name} says that the log {signed.checkpoint.origin} contradicts what it cosigned before.",
                "Nothing more is entered until a person has looked at it: `mohist ledger check` compares.",
            )
        if answer.status_code != 200:
            raise LedgerError(
                f"The witness {self.key.name} answered {answer.status_code}.", _MENDS.get(answer.status_code, "")
            )
        for line in note.parse_signatures(answer.text):
            if (line.name, line.key_id) == (self.key.name, self.key.key_id):
                note.SignedCheckpoint(signed.checkpoint, (line,)).witnessed_by(self.key)
                return line
        raise ProofError(
            f"The witness {self.key.name} answered without its own cosignature.", "Is its key the configured one?"
        )

    def newest(self, origin: str, log_key: note.VerifierKey) -> note.SignedCheckpoint | None:
        """The newest checkpoint that it cosigned; None: it never did.

        Raises:
            LedgerError: it can't be asked.
            ProofError: what it shows is not signed by the log and by itself.
        """
        url = f"{self._monitoring_url}/{sha256(origin.encode()).hexdigest()}/checkpoint"
        answer = self._send("GET", url)
        if answer.status_code == 404:
            return None
        if answer.status_code != 200:
            raise LedgerError(f"The witness {self.key.name} answered {answer.status_code}.")
        signed = note.parse(answer.text)
        if signed.checkpoint.origin != origin or not signed.signed_by(log_key) or signed.witnessed_by(self.key) is None:
            raise ProofError(
                f"The witness {self.key.name} shows a checkpoint that is not signed by the log and by itself."
            )
        return signed

    def _send(self, method: str, url: str, body: str = "") -> httpx2.Response:
        try:
            with self._client.stream(method, url, content=body.encode() if body else None) as answer:
                size_bytes = 0
                parts = []
                for part in answer.iter_bytes():
                    size_bytes += len(part)
                    if size_bytes > MAX_ANSWER_BYTES:
                        raise LedgerError(
                            f"The witness {self.key.name} answered with more than {MAX_ANSWER_BYTES} bytes."
                        )
                    parts.append(part)
                return httpx2.Response(answer.status_code, content=b"".join(parts))
        except httpx2.HTTPError as error:
            raise LedgerError(
                f"The witness {self.key.name} at {self.url} can't be reached: {type(error).__name__}."
            ) from error


_MENDS = {
    403: "It does not take this log's signature: give it the log's verifier key.",
    404: "It does not know this log: give its operator the log's verifier key.",
}


def _size(text: str) -> int:
    if not text.strip().isdigit():
        raise LedgerError("A witness answered without the size that it saw.")
    return int(text.strip())
