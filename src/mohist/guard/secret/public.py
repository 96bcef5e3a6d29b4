"""Values that vendors print in their manuals and ship in their emulators: of a secret's form, and known to everybody."""

from __future__ import annotations

from hashlib import sha256

_DIGESTS = frozenset(
    {
        "0011cc25eb4320717494d2703e8cba85",  # key of Microsoft's storage emulator
        "aa6547439583c3a275d4542a0df6c1ad",  # key of Microsoft's Cosmos DB emulator
        "7f75367e7881255134e1375e723d1dea",  # example of jwt.io
        "da816f9f2c16e6c5390e7636cadc40c4",  # example of jwt.io, the older one
        "78314b11be2e581549ac1c4f616563fa",  # secret key in AWS's manuals
        "2cafc0970149a84f3b9e62eaf169f36f",  # key in Stripe's manuals
        "f2d6ca16515033e5dce14eba840b979d",  # key in Stripe's older manuals
        "cf4d418ed3de92d71f767db5391d5a2d",  # example of RFC 7617, a name and a password
        "687da00b09c83361bf3a2853b3a0c7d6",  # the other one there
        "ca7459e2b26776de081b9a07e40227fd",  # example of RFC 6749, a client and its secret
        "584b27d64ebc1b3341f7fc9a9c3f1a54",  # example of RFC 6749, the other secret
    }
)


def is_public(value: str) -> bool:
    """Whether a value is one of them; kept as the first half of its SHA-256, so that no scanner finds them here."""
    return sha256(value.encode("utf-8", "replace")).hexdigest()[:32] in _DIGESTS
