"""Signed notes, checkpoints and cosignatures as text (C2SP signed-note v1.0.0, tlog-checkpoint v1.0.0, tlog-cosignature v1).

Reads and writes the forms; what a checkpoint is worth is decided in `verify`.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mohist.ledger.errors import ProofError
from mohist.ledger.tree import HASH_BYTES

ED25519 = 0x01
COSIGNATURE = 0x04
"""Of signature types (signed-note, "Signature types"): a log's own, and a witness's with its time."""
KEY_ID_BYTES = 4
TIME_BYTES = 8
MAX_SIGNATURES = 64
"""Looked at in one note; the specification asks for at least 16."""
_DASH = "\u2014 "


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with a name: "example.com/log+530d903a+AekyeR…"."""

    name: str
    kind: int
    """ED25519 of a log, COSIGNATURE of a witness."""
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The hint in signature lines."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:KEY_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{b64encode(bytes([self.kind]) + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Reads one.

        Raises:
            ProofError: it is none, or of a kind that is not known here.
        """
        parts = text.strip().split("+", 2)
        try:
            material = b64decode(parts[2], validate=True)
            key = cls(parts[0], material[0], material[1:])
        except (IndexError, binascii.Error) as error:
            raise ProofError(
                f"{text.strip()!r} is no verifier key.", "It has the form NAME+8 hex digits+base64."
            ) from error
        if key.kind not in (ED25519, COSIGNATURE) or len(key.public) != 32:
            raise ProofError(f"The key of {key.name} is of a kind that is not supported.", "Use an Ed25519 key.")
        if not key.name or key.key_id.hex() != parts[1]:
            raise ProofError(f"The key of {key.name} does not have the id {parts[1]}.", "A digit may be missing.")
        return key

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature is this key's over the message."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's size and root at one moment."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class Signature:
    """One line under a note, not verified."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {b64encode(self.key_id + self.signature).decode()}\n"


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint with what stands under it."""

    checkpoint: Checkpoint
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return self.checkpoint.text + "\n" + "".join(map(str, self.signatures))

    def signed_by(self, key: VerifierKey) -> bool:
        """Whether a log's key has signed it.

        Raises:
            ProofError: a signature bears the key's name and id and is not by it.
        """
        return bool(self._valid(key))

    def witnessed_by(self, key: VerifierKey) -> int | None:
        """When a witness has cosigned it, in seconds since 1970; None: it has not.

        Raises:
            ProofError: a cosignature bears the key's name and id and is not by it.
        """
        valid = self._valid(key)
        return max((int.from_bytes(one[:TIME_BYTES]) for one in valid), default=None)

    def _valid(self, key: VerifierKey) -> list[bytes]:
        found = []
        for one in self.signatures:
            if (one.name, one.key_id) != (key.name, key.key_id):
                continue
            message, signature = self.checkpoint.text.encode(), one.signature
            if key.kind == COSIGNATURE:
                message, signature = cosigned(int.from_bytes(signature[:TIME_BYTES]), message), signature[TIME_BYTES:]
            if not key.verify(signature, message):
                raise ProofError(
                    f"The checkpoint of {self.checkpoint.origin} at {self.checkpoint.size} bears a false signature of {key.name}.",
                    "It was not made by the holder of that key, or was changed since.",
                )
            found.append(one.signature)
        return found

    def with_signatures(self, more: Iterable[Signature]) -> SignedCheckpoint:
        """With further lines; a newer line of one key takes the place of its older one."""
        lines = {(one.name, one.key_id): one for one in (*self.signatures, *more)}
        return SignedCheckpoint(self.checkpoint, tuple(lines.values()))


def cosigned(time_s: int, message: bytes) -> bytes:
    """What a witness signs (tlog-cosignature, "Ed25519 signed message")."""
    return f"cosignature/v1\ntime {time_s}\n".encode() + message


def sign(checkpoint: Checkpoint, name: str, key: Ed25519PrivateKey) -> Signature:
    """A log's signature."""
    public = VerifierKey(name, ED25519, key.public_key().public_bytes_raw())
    return Signature(name, public.key_id, key.sign(checkpoint.text.encode()))


def cosign(checkpoint: Checkpoint, name: str, key: Ed25519PrivateKey, time_s: int) -> Signature:
    """A witness's."""
    public = VerifierKey(name, COSIGNATURE, key.public_key().public_bytes_raw())
    signature = key.sign(cosigned(time_s, checkpoint.text.encode()))
    return Signature(name, public.key_id, time_s.to_bytes(TIME_BYTES) + signature)


def parse(text: str) -> SignedCheckpoint:
    """Reads a signed checkpoint; verifies nothing.

    Raises:
        ProofError: it has not the form of one.
    """
    body, separator, under = text.rpartition("\n\n")
    lines = body.split("\n")
    if not separator or len(lines) < 3 or not all(lines):
        raise ProofError("A checkpoint has an origin, a size, a root, an empty line and signatures; this has not.")
    if any(ord(character) < 0x20 for character in text if character != "\n"):
        raise ProofError("A checkpoint holds a control character.")
    origin, size, root = lines[:3]
    if len(lines) > 3:
        raise ProofError(f"The checkpoint of {origin} has extension lines; Mohist's have none.")
    if not (size.isascii() and size.isdigit() and (size == "0" or size[0] != "0")):
        raise ProofError(f"The checkpoint of {origin} has the size {size!r}.")
    decoded = decoded_hash(root, f"the root of {origin} at {size}")
    return SignedCheckpoint(Checkpoint(origin, int(size), decoded), tuple(parse_signatures(under)))


def parse_signatures(text: str) -> Sequence[Signature]:
    """Reads signature lines.

    Raises:
        ProofError: one has not the form.
    """
    lines = text.removesuffix("\n").split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise ProofError(f"A note has {len(lines)} signatures; at most {MAX_SIGNATURES} are read.")
    found = []
    for line in lines:
        name, _, data = line.removeprefix(_DASH).rpartition(" ")
        try:
            raw = b64decode(data, validate=True)
        except binascii.Error:
            raw = b""
        if not line.startswith(_DASH) or not name or len(raw) <= KEY_ID_BYTES:
            raise ProofError(f"{line[:80]!r} is no signature line.")
        found.append(Signature(name, raw[:KEY_ID_BYTES], raw[KEY_ID_BYTES:]))
    return found


def decoded_hash(text: str, what: str) -> bytes:
    """A hash in base64.

    Raises:
        ProofError: it is none.
    """
    try:
        decoded = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) != HASH_BYTES:
        raise ProofError(f"{what[:1].upper()}{what[1:]} is no SHA-256 hash in base64: {text[:60]!r}.")
    return decoded
