"""Credentials that open nothing, laid where people keep theirs: whoever sends one on has read what is none of its business.

The values are random and made for one vetting. They are looked for in all that leaves, as they are and in other forms.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote

_LEAST_CODED_BYTES = 8
_DIGEST_CHARS = 12
"""Of a hash in hex, from its beginning; fewer may stand anywhere by chance."""
_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Decoy:
    """One file with values that nothing else holds."""

    path: str
    """Below HOME; or below the folder beside the project if it begins with "../"."""
    text: str = field(repr=False)
    values: tuple[str, ...] = field(repr=False)
    whose: str
    """What the file is of: "AWS", "SSH"."""
    hosts: tuple[str, ...] = ()
    """Whom the credential is for; sent there, it is used and not given away."""
    shared: bool = False
    """Programs and libraries that speak HTTP look into it by convention; reading it says little."""
    identity: bool = False
    """It says who somebody is, and is no credential."""

    def is_for(self, host: str) -> bool:
        """Whether a host is one that the credential opens."""
        return any(host == one or host.endswith(f".{one}") for one in self.hosts)


@dataclass(frozen=True, slots=True)
class Leak:
    """A decoy's value in something that was sent."""

    decoy: Decoy
    form: str
    """"as it is", "base64", "sha256"."""
    at: int
    """Offset in bytes."""


def make_decoys() -> tuple[Decoy, ...]:
    """Fresh ones."""
    return (_aws(), _ssh(), _npm(), _netrc(), _codex(), _claude(), _gh(), _env(), _git())


def find_leaks(decoys: Iterable[Decoy], data: bytes) -> list[Leak]:
    """Decoys' values in `data`: as they are, in base64 at any alignment, hex, URL coding, reversed, or hashed."""
    found: list[Leak] = []
    lower = data.lower()
    for decoy in decoys:
        for value in decoy.values:
            for form, needle in _forms(value):
                where = (lower if form in _IN_LOWER else data).find(needle)
                if where >= 0:
                    found.append(Leak(decoy, form, where))
                    break
    return found


_IN_LOWER = frozenset(("hex", "md5", "sha1", "sha256", "sha512"))


def _forms(value: str) -> list[tuple[str, bytes]]:
    data = value.encode("utf-8")
    forms = [("as it is", data), ("reversed", data[::-1]), ("hex", data.hex().encode("ascii"))]
    if (quoted := quote(value, safe="")) != value:
        forms.append(("URL coding", quoted.encode("ascii")))
    escaped = value.replace("/", "\\/")
    if escaped != value:
        forms.append(("JSON with escaped slashes", escaped.encode("ascii")))
    forms += [("base64", core) for core in _base64_cores(data)]
    for name in ("md5", "sha1", "sha256", "sha512"):
        digest = hashlib.new(name, data, usedforsecurity=False)
        forms.append((name, digest.hexdigest()[:_DIGEST_CHARS].encode("ascii")))
        forms.append((f"{name} in base64", base64.b64encode(digest.digest())[:_DIGEST_CHARS]))
    return forms


def _base64_cores(data: bytes) -> list[bytes]:
    """What stands in base64 wherever `data` begins within a group of three bytes."""
    cores: list[bytes] = []
    for shift in range(3):
        coded = base64.b64encode(bytes(shift) + data)
        head = -(-shift * 8 // 6)
        whole = (shift + len(data)) * 8 // 6
        core = coded[head:whole]
        if len(core) >= _LEAST_CODED_BYTES:
            cores += [core, core.replace(b"+", b"-").replace(b"/", b"_")]
    return cores


def _word(count: int, letters: str = _LETTERS) -> str:
    return "".join(secrets.choice(letters) for _ in range(count))


def _aws() -> Decoy:
    key, secret = "AKIA" + _word(16, string.ascii_uppercase + "234567"), _word(40)
    return Decoy(
        ".aws/credentials",
        f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n",
        (key, secret),
        "AWS",
        ("amazonaws.com",),
    )


def _ssh() -> Decoy:
    core = base64.b64encode(b"openssh-key-v1\0" + secrets.token_bytes(300)).decode("ascii")
    lines = re.findall(".{1,70}", core)
    frame = "OPENSSH PRIVATE KEY-----"
    return Decoy(
        ".ssh/id_ed25519", "\n".join([f"-----BEGIN {frame}", *lines, f"-----END {frame}", ""]), tuple(lines[1:4]), "SSH"
    )


def _npm() -> Decoy:
    token = "npm_" + _word(36)
    return Decoy(".npmrc", f"//registry.npmjs.org/:_authToken={token}\n", (token,), "npm", ("registry.npmjs.org",))


def _netrc() -> Decoy:
    word = _word(32)
    return Decoy(
        ".netrc",
        f"machine git.example.com\nlogin ann\npassword {word}\n",
        (word,),
        "netrc",
        ("git.example.com",),
        shared=True,
    )


def _codex() -> Decoy:
    token = _word(48)
    return Decoy(
        ".codex/auth.json", f'{{"OPENAI_API_KEY": null, "tokens": {{"access_token": "{token}"}}}}\n', (token,), "Codex"
    )


def _claude() -> Decoy:
    token = _word(64)
    return Decoy(
        ".claude/.credentials.json",
        f'{{"claudeAiOauth": {{"accessToken": "{token}", "scopes": []}}}}\n',
        (token,),
        "Claude Code",
        ("anthropic.com", "claude.ai"),
    )


def _gh() -> Decoy:
    token = "gho_" + _word(36)
    return Decoy(
        ".config/gh/hosts.yml", f"github.com:\n    oauth_token: {token}\n    user: ann\n", (token,), "GitHub CLI"
    )


def _env() -> Decoy:
    word = _word(40)
    return Decoy("../.env", f"DATABASE_PASSWORD={word}\n", (word,), "another project")


def _git() -> Decoy:
    mail = f"{_word(16, string.ascii_lowercase)}@example.com"
    return Decoy(".gitconfig", f"[user]\n\tname = Ann\n\temail = {mail}\n", (mail,), "git", identity=True)
