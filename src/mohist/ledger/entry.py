"""What is entered: a small canonical JSON object, whose exact bytes are the leaf.

The JSON is RFC 8785's where all JSON encoders agree: ASCII keys in order, integers of at most 2^53 - 1, no floats. Names,
addresses, prompts and paths of persons don't belong in it; what must be kept of them is a payload, sealed under a key of its
own that can be deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import orjson

from mohist.ledger.errors import EntryError

Kind = Literal[
    "log.open",
    "log.close",
    "run.open",
    "run.prompt",
    "run.close",
    "model.intent",
    "model.response",
    "tool.intent",
    "tool.result",
    "finding",
    "verdict",
    "approval",
    "attribution",
    "attribution.map",
    "budget",
    "key",
    "policy",
    "configuration",
    "delivery.stage",
    "deploy",
    "vetting",
    "register",
    "sign-in",
    "erasure",
    "hold",
    "export",
    "stream.close",
    "heartbeat",
]
KINDS: frozenset[str] = frozenset(get_args(Kind))
CLOSES: Mapping[str, str] = {"model.response": "model.intent", "tool.result": "tool.intent"}
"""Which kind closes which; an intent that nothing closes is itself a finding."""

VERSION = 1
MAX_ENTRY_BYTES = 16 * 1024
"""A leaf is meant to be under 2 kB; what is larger than this is content and belongs in a payload. C2SP tlog-tiles' own bound is 65,535."""
MAX_INTEGER = 2**53 - 1
"""Beyond it JSON readers differ (RFC 8785, 3.2.2.3)."""

Value: TypeAlias = "str | int | bool | Sequence[Value] | Mapping[str, Value] | None"


@dataclass(frozen=True, slots=True)
class Content:
    """Something to be kept apart, sealed; only digests of it are entered."""

    name: str
    """What it is to the entry: "request", "response", "prompt", "arguments", "diff"."""
    media: str
    data: bytes = field(repr=False)
    subject: str = ""
    """Whose it is, as a pseudonymous id: all of a subject is erased at once."""
    keep: bool = True
    """False: only committed to; whoever shows the content later can prove that it was this one."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry before it has a place."""

    kind: Kind
    stream: str
    """What it belongs to, one run, call session, delivery or log: "run:…", "gateway:…", "delivery:…"; numbered without gaps."""
    actor: str
    """Who did it, as "sort:pseudonym" ("key:…", "person:…", "model:…", "system:…")."""
    on_behalf_of: str = ""
    about: Mapping[str, str] = field(default_factory=dict)
    """What it speaks of: run, call, delivery, commit, blob, "intent" (the key of the entry that this closes)."""
    data: Mapping[str, Value] = field(default_factory=dict)
    contents: tuple[Content, ...] = ()
    key: str = ""
    """The same key twice is the same entry: a repeated append gives the first one's receipt."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where an entry stands, once it is durable."""

    index: int
    leaf: bytes
    """Its hash in the tree."""
    at_us: int
    """Microseconds since 1970, as entered."""
    stream: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Sealed:
    """A payload as its entry names it."""

    name: str
    media: str
    size_bytes: int
    digest: str
    """SHA-256 of the ciphertext, hex: can be checked without any key. Empty: the content is not kept."""
    commitment: str
    """HMAC-SHA-256 of the plaintext under a key of its own, hex: binds, and tells nothing to who can guess."""
    key_id: str


def encode(draft: Draft, *, at_us: int, log: str, sequence: int, previous: str, sealed: Sequence[Sealed] = ()) -> bytes:
    """The leaf's bytes.

    Args:
        draft: what is entered.
        at_us: when, microseconds since 1970.
        log: the log's origin.
        sequence: number in the stream, from 0.
        previous: hash of the stream's previous leaf, hex; "" for its first.
        sealed: the draft's contents, sealed.

    Raises:
        EntryError: it has no canonical form or is too large.
    """
    if draft.kind not in KINDS:
        raise EntryError(f"There is no kind of entry {draft.kind!r}.", audience="bug")
    value: dict[str, Any] = {
        "v": VERSION,
        "kind": draft.kind,
        "at": at_us,
        "log": log,
        "stream": draft.stream,
        "seq": sequence,
        "prev": previous,
        "actor": draft.actor,
    }
    if draft.on_behalf_of:
        value["for"] = draft.on_behalf_of
    if draft.key:
        value["key"] = draft.key
    if draft.about:
        value["about"] = _plain(draft.about, "about")
    said = dict(draft.data)
    if draft.kind == "stream.close":
        # Counted here and not by whoever closes: several may enter in one stream.
        said["entries"] = sequence
    if said:
        value["data"] = _plain(said, "data")
    if sealed:
        value["payload"] = [
            {
                "name": one.name,
                "media": one.media,
                "size": one.size_bytes,
                **({"digest": one.digest} if one.digest else {}),
                "commitment": one.commitment,
                "kid": one.key_id,
            }
            for one in sealed
        ]
    try:
        data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError) as error:
        raise EntryError(f"An entry of kind {draft.kind} can't be written as JSON: {error}.", audience="bug") from error
    if len(data) > MAX_ENTRY_BYTES:
        raise EntryError(
            f"An entry of kind {draft.kind} has {len(data)} bytes; at most {MAX_ENTRY_BYTES} are allowed.",
            "Hand long values over as contents.",
            audience="bug",
        )
    return data


def decode(leaf: bytes) -> dict[str, Any]:
    """An entry's fields, of any version up to this one.

    Raises:
        EntryError: the bytes are no entry.
    """
    try:
        value = orjson.loads(leaf)
    except orjson.JSONDecodeError as error:
        raise EntryError(f"An entry is not JSON: {error}.") from error
    if not isinstance(value, dict) or value.get("v") != VERSION or value.get("kind") not in KINDS:
        raise EntryError("An entry has an unknown form or version.", "Read it with a newer Mohist.")
    return value


def _plain(value: Any, where: str) -> Any:
    """A copy in which only what has one spelling is left."""
    if isinstance(value, Mapping):
        for name in value:
            if not isinstance(name, str) or not name.isascii():
                raise EntryError(f"{where} has a name that is not ASCII: {name!r}.", audience="bug")
        return {name: _plain(each, f"{where}.{name}") for name, each in value.items()}
    if isinstance(value, str):
        # JSON has no spelling for half a surrogate pair; file names can hold one.
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise EntryError(f"{where} is {value}, too large for JSON.", audience="bug")
        return value
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_plain(each, f"{where}[{index}]") for index, each in enumerate(value)]
    raise EntryError(f"{where} is a {type(value).__name__}; entries hold text, integers, yes or no.", audience="bug")
