"""Virtual keys: what a client shows instead of a provider's own key.

    mhk-<52 characters: 256 random bits, base32><7 characters: their CRC-32, base32>

The prefix and the checksum are for scanners, which can tell a real key from a look-alike without asking anybody
(https://github.blog/engineering/behind-githubs-new-authentication-token-formats/). Only the SHA-256 of a key is kept:
of 256 random bits no faster hash gives anything away.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Final, get_args

from mohist.gateway.call import Dialect, Principal, Role

PREFIX: Final = "mhk-"
DIALECTS: Final[tuple[Dialect, ...]] = get_args(Dialect)
ROLES: Final[tuple[Role, ...]] = get_args(Role)
_FORM: Final = re.compile(r"mhk-([a-z2-7]{52})([a-z2-7]{7})")


def new_secret() -> str:
    """A fresh virtual key; the caller shows it once and keeps only `secret_hash` of it."""
    body = _base32(secrets.token_bytes(32))
    return f"{PREFIX}{body}{_checksum(body)}"


def well_formed(text: str) -> bool:
    """Whether `text` is a virtual key by prefix, length and checksum; says nothing of whether it is valid."""
    found = _FORM.fullmatch(text)
    return found is not None and _checksum(found[1]) == found[2]


def secret_hash(secret: str) -> bytes:
    """SHA-256 of a virtual key, as it is kept."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class Key:
    """A virtual key as it is kept: whose it is and what it may be used for. Holds no secret."""

    key_id: str
    user: str
    project: str = ""
    team: str = ""
    models: tuple[str, ...] = ()
    """Globs of model names; empty: all."""
    clients: tuple[str, ...] = ()
    """Globs of clients as they name themselves, e.g. `claude-cli/*`; empty: all."""
    dialects: tuple[Dialect, ...] = ()
    """Empty: all."""
    created_at_ms: int = 0
    expires_at_ms: int | None = None
    revoked_at_ms: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    roles: tuple[Role, ...] = ("caller",)
    """What it may do; one that does not say `caller` makes no model calls."""
    tool: str = ""
    """The tool that it was made for, with its version: `claude-code@2.1.330`; the register holds calls made with it for that
    tool's, whatever their client says, and for governed. Empty: for none in particular."""
    repository: str = ""
    """What the project of that tool is called; empty: not known."""
    principal: Principal = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        who = Principal(self.key_id, self.user, self.project, self.team, self.roles, self.tool, self.repository)
        object.__setattr__(self, "principal", who)


@dataclass(frozen=True, slots=True)
class KeySecret:
    """One secret of a key; while a rotation's grace lasts a key has two."""

    hash: bytes = field(repr=False)
    key_id: str
    created_at_ms: int
    expires_at_ms: int | None = None
    """When a rotation ends it; None: it is the key's own."""


class Scope:
    """Decides whether a key may be used for a call; patterns are compiled once."""

    __slots__ = ("_calls", "_clients", "_dialects", "_models")

    def __init__(self, key: Key) -> None:
        self._models = _any_of(key.models)
        self._clients = _any_of(key.clients)
        self._dialects = key.dialects
        self._calls = "caller" in key.roles

    def refusal(self, dialect: Dialect, model: str, client: str) -> str:
        """Why the call is outside the scope; empty when it is inside."""
        if not self._calls:
            return "This key administers the gateway; it may not be used for model calls."
        if self._dialects and dialect not in self._dialects:
            return f"This key may not be used with {dialect}, only with {', '.join(self._dialects)}."
        if self._models is not None and self._models.match(model) is None:
            return f"This key may not be used for model {model!r}."
        if self._clients is not None and self._clients.match(client) is None:
            return f"This key may not be used by client {client or 'unknown'!r}."
        return ""

    def lists(self, dialect: Dialect, model: str) -> bool:
        """Whether some call in this dialect to this model is inside; clients may list models by another name than they call."""
        named = self._models is None or self._models.match(model) is not None
        return named and self._calls and (not self._dialects or dialect in self._dialects)


def _any_of(globs: tuple[str, ...]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{translate(glob)})" for glob in globs)) if globs else None


def _checksum(body: str) -> str:
    return _base32(binascii.crc32(body.encode("ascii")).to_bytes(4, "big"))


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()
