"""The recorded form of calls to upstreams: one file, one JSON line a call, versioned. Holds no credential.

Line 1       {"format": "mohist-calls", "version": 1}
Other lines  {"call", "door", "model", "stream", "session", "headers", "body", "answer"}

`body` is {"sha256", "size_bytes", "outline"}: what was asked is not kept, only digests of its parts, by which a request
is known again and the part that differs is named. `answer` is {"status", "headers", "pieces", "end"}; a piece is [milliseconds
since the request, text] or, where it is no UTF-8 by itself, [milliseconds, {"base64"}]; `end` is `whole`, `broken` (the
upstream broke off) or `left` (the client did). Recordings of runs (`mohist run --record`) are another format: they hold
messages in no dialect's words, with the machine's paths masked, and are answered while the tools run again.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from mohist.gateway.errors import TapeError
from mohist.provider.recording import FORMAT as RUN_FORMAT
from mohist.provider.substitution import Substitution

FORMAT: Final = "mohist-calls"
VERSION: Final = 1
FILE_NAME: Final = "calls.jsonl"
DOORS: Final = ("/chat/completions", "/responses", "/messages/count_tokens", "/messages")
"""How the path of a request ends."""

End = Literal["whole", "broken", "left"]
Outline = tuple[tuple[str, str], ...]
"""Place and digest of each part of a body."""

# Names of the account, the session or the upstream; two calls that differ in nothing else ask the same.
_NOT_COMPARED: Final = frozenset(
    {"model", "metadata", "user", "safety_identifier", "prompt_cache_key", "stream_options", "client_metadata"}
)
_LISTS: Final = ("tools", "system", "messages", "input")
"""Compared part by part, last."""
_DIGEST_CHARS: Final = 16
_SUBSTITUTION: Final = Substitution()


@dataclass(frozen=True, slots=True)
class Body:
    """What of a request is kept."""

    sha256: str
    """Of its outline."""
    size_bytes: int
    outline: Outline


@dataclass(frozen=True, slots=True)
class Taped:
    """One recorded call."""

    number: int
    """From 1."""
    door: str
    """One of `DOORS`."""
    model: str
    stream: bool
    session_id: str
    headers: Mapping[str, str]
    """Of the request; those that say nothing of an account."""
    body: Body
    status: int
    answer_headers: tuple[tuple[str, str], ...]
    pieces: tuple[tuple[int, bytes], ...]
    """Milliseconds since the request, and what came."""
    end: End


def header_line() -> bytes:
    """The first line of a recording."""
    return orjson.dumps({"format": FORMAT, "version": VERSION}) + b"\n"


def line(call: Taped) -> bytes:
    """The line of one call."""
    value = {
        "call": call.number,
        "door": call.door,
        "model": call.model,
        "stream": call.stream,
        "session": call.session_id,
        "headers": dict(call.headers),
        "body": {"sha256": call.body.sha256, "size_bytes": call.body.size_bytes, "outline": call.body.outline},
        "answer": {
            "status": call.status,
            "headers": call.answer_headers,
            "pieces": [(at_ms, _text(piece)) for at_ms, piece in call.pieces],
            "end": call.end,
        },
    }
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS) + b"\n"


def file_of(path: Path) -> Path:
    """The file itself, where a folder is named."""
    return path / FILE_NAME if path.is_dir() else path


def read_tape(path: Path) -> tuple[Taped, ...]:
    """The calls recorded at `path`, a file or a folder that holds `calls.jsonl`.

    Raises:
        TapeError: missing, torn, malformed, of another version or kind.
    """
    file = file_of(path)
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as error:
        raise TapeError(f"The recording {str(path)!r} can't be read: {error.strerror}.", "Name a recording.") from error
    if lines.pop():
        raise TapeError(f"The recording {str(path)!r} is torn at line {len(lines) + 1}.", "Record it again.")
    number = 1
    try:
        header = orjson.loads(lines[0]) if lines else {}
        if header.get("format") == RUN_FORMAT:
            raise TapeError(f"{str(path)!r} is the recording of a run.", f"Use it by: mohist run --model replay:{path}")
        if header.get("format") != FORMAT or header.get("version") != VERSION:
            raise TapeError(f"{str(path)!r} is no recording of calls, version {VERSION}.", "Record it again.")
        calls = []
        for raw in lines[1:]:
            number += 1
            calls.append(_taped(orjson.loads(raw)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TapeError(f"Line {number} of the recording {str(path)!r} is malformed.", "Record it again.") from error
    return tuple(calls)


def body_of(door: str, body: bytes) -> Body:
    """What is kept and compared of a request: digests of its parts, without what differs by day, account or upstream.

    Raises:
        ValueError: the body is no JSON object.
    """
    value = orjson.loads(body)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    outline = (("door", door), *_parts(value))
    digest = hashlib.sha256(orjson.dumps(outline)).hexdigest()
    return Body(digest, len(body), outline)


def _parts(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in sorted(value.keys() - _NOT_COMPARED - set(_LISTS)):
        yield key, _digest(value[key])
    for key in _LISTS:
        if isinstance(items := value.get(key), list):
            for index, item in enumerate(items):
                yield f"{key}[{index}]{_role(item)}", _digest(item)
        elif key in value:
            yield key, _digest(items)


def _role(item: Any) -> str:
    said = (item.get("role") or item.get("name") or item.get("type")) if isinstance(item, dict) else None
    return f" ({said[:80]})" if isinstance(said, str) else ""


def _digest(value: Any) -> str:
    normal = orjson.dumps(_normal(value), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(normal).hexdigest()[:_DIGEST_CHARS]


def _normal(value: Any) -> Any:
    if isinstance(value, str):
        return _SUBSTITUTION.compared(value)
    if isinstance(value, list):
        return [_normal(item) for item in value]
    if isinstance(value, dict):
        return {key: _normal(item) for key, item in value.items()}
    return value


def _text(piece: bytes) -> str | dict[str, str]:
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(piece).decode("ascii")}


def _taped(value: dict[str, Any]) -> Taped:
    body, answer = value["body"], value["answer"]
    if answer["end"] not in ("whole", "broken", "left"):
        raise ValueError("no end")
    return Taped(
        value["call"],
        value["door"],
        value["model"],
        value["stream"],
        value["session"],
        value["headers"],
        Body(body["sha256"], body["size_bytes"], tuple((place, digest) for place, digest in body["outline"])),
        answer["status"],
        tuple((name, said) for name, said in answer["headers"]),
        tuple(
            (at_ms, said.encode() if isinstance(said, str) else base64.b64decode(said["base64"]))
            for at_ms, said in answer["pieces"]
        ),
        answer["end"],
    )
