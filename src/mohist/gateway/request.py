"""What a client sent: its bytes, the few fields the gateway reads, and the one it may change.

The body goes on as it came, but for a content coding that is undone and a `model` that the upstream knows by
another name: that one string is replaced in the bytes, all others stay.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any
from urllib.parse import unquote_plus, unquote_to_bytes

import orjson
import zstandard

from mohist.base import light_dataclass
from mohist.gateway.call import Dialect, Refusal
from mohist.gateway.duplicate import ambiguity
from mohist.gateway.offer import NOTHING, Offer, offered
from mohist.provider.transport import SESSION_HEADER

Headers = list[tuple[bytes, bytes]]

MAX_MODEL_CHARS = 256
REASONING_PREFIX = "mohist1."
"""Begins what translated answers leave in a client's history of another vendor's reasoning."""
_BYTES_PER_TOKEN = 4
_MAX_ZSTD_WINDOW_BYTES = 8 * 1024 * 1024
"""What RFC 8878 section 3.1.1.1.2 advises every decoder to take."""

_ASK_USAGE = b'"stream_options":{"include_usage":true},'

_CREDENTIALS = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie"})
_NOT_FORWARDED = _CREDENTIALS | {
    # Hop by hop: RFC 9110 section 7.6.1.
    *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
    *(b"proxy-authorization", b"proxy-authenticate", b"http2-settings", b"expect"),
    # Said anew for the upstream.
    *(b"host", b"content-length", b"content-encoding", b"accept-encoding"),
    # Belong to the client's own account or network.
    *(b"openai-organization", b"openai-project", b"forwarded", b"via", b"x-real-ip"),
}
_NAMES = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]*")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_QUERY = re.compile(rb"[!-~]*")
_SECRET_QUERY = frozenset({"key", "api_key", "api-key", "apikey", "access_token", "token", "auth"})
_SESSION_HEADERS = (
    SESSION_HEADER.encode(),
    *(b"x-claude-code-session-id", b"session-id", b"session_id", b"x-session-id"),
    *(b"x-session-affinity", b"x-affinity", b"agent-session-id"),
)
_KEY_MARK = b"mhk-"
_KEY = re.compile(rb"mhk-[a-z2-7]{52}")  # `mohist.gateway.key` makes them
_PRODUCT = re.compile(r"[!-~]{1,80}")

# `"model":` as JSON may spell it; inside a string the quotes would stand behind backslashes. What translated answers
# left is looked for along with it: a large body takes long to go through.
_MODEL_KEY = re.compile(
    rb'"(?:(?P<left>'
    + re.escape(REASONING_PREFIX.encode())
    + rb")|(?:m|\\u006[dD])(?:o|\\u006[fF])(?:d|\\u0064)(?:e|\\u0065)(?:l|\\u006[cC])"
    + rb'"[ \t\r\n]*:[ \t\r\n]*)'
)
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)


class RefusedError(Exception):
    """The request can't be served; carries what the client is told."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def bad_request(message: str, status: int = 400) -> RefusedError:
    """A request that no retry makes right."""
    return RefusedError(Refusal("too_large" if status == 413 else "bad_request", status, message))


@light_dataclass(frozen=True, slots=True)
class Envelope:
    """What the gateway reads of a body."""

    body: bytes
    """Decoded, otherwise as it came."""
    model: str
    model_span: tuple[int, int]
    """Where the model's JSON string stands in `body`."""
    stream: bool
    prompt_tokens: int
    """By rule of thumb, for the reservation."""
    max_output_tokens: int
    """0: the client names no limit."""
    usage_at: int
    """Where `stream_options` can be put in to ask for a chat stream's usage; -1: not needed or not possible."""
    session_id: str
    """From the body; empty when it names none."""
    offer: Offer = NOTHING
    """The tools it offers."""
    has_foreign: bool = True
    """There may be reasoning in it that translated answers left."""

    def body_for(self, model: str, ask_usage: bool) -> bytes:
        """The body with the model's name replaced, and asking for usage where it can be asked for."""
        body = self.body
        if model != self.model:
            start, end = self.model_span
            body = body[:start] + orjson.dumps(model) + body[end:]
        if ask_usage and self.usage_at >= 0:
            body = body[: self.usage_at] + _ASK_USAGE + body[self.usage_at :]  # stands before the model
        return body


def credential(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The one key the client shows; empty when it shows none.

    Raises:
        RefusedError: it shows two that differ.
    """
    shown: set[bytes] = set()
    for name, value in headers:
        if name in (b"x-api-key", b"api-key"):
            shown.add(value.strip())
        elif name == b"authorization":
            scheme, _, token = value.strip().partition(b" ")
            shown.add(token.strip() if scheme.lower() == b"bearer" else value.strip())
    shown.discard(b"")
    if len(shown) > 1:
        raise bad_request("The request shows two different keys (x-api-key, authorization). Send one.")
    return shown.pop().decode("latin-1") if shown else ""


def without_keys(headers: Headers) -> Headers:
    """The headers without those in which a virtual key stands where none belongs: it would be sent on or written down."""
    return [pair for pair in headers if _KEY_MARK not in pair[1] or pair[0] in _CREDENTIALS or not _KEY.search(pair[1])]


def forwarded(headers: Headers) -> Headers:
    """The client's headers that the upstream gets: an open list without credentials and hop-by-hop ones.

    Raises:
        RefusedError: a header holds bytes that could start another one.
    """
    names, values = zip(*headers, strict=True) if headers else ((), ())
    if b"" in names or not _NAMES.fullmatch(b"".join(names)) or _CONTROL.search(b" ".join(values)):
        raise bad_request("A header holds control characters.")
    dropped: AbstractSet[bytes] = _NOT_FORWARDED
    if b"connection" in names:
        said = [value for name, value in headers if name == b"connection"]
        dropped = dropped | {token.strip().lower() for token in b",".join(said).split(b",")}
    return [
        (name, value)
        for name, value in headers
        if name not in dropped and not name.startswith((b"x-forwarded-", b"x-mohist-"))
    ]


def query(raw: bytes) -> bytes:
    """The query that the upstream gets: the client's, without keys; starts with `?` unless empty."""
    if not raw:
        return b""
    if not _QUERY.fullmatch(raw):
        raise bad_request("The query holds characters that no URL may hold.")
    parts = raw.split(b"&")
    kept = [
        part
        for part in parts
        if unquote_plus(part.split(b"=")[0].decode()).lower() not in _SECRET_QUERY
        and not _KEY.search(unquote_to_bytes(part))
    ]
    return b"?" + b"&".join(kept) if kept else b""


def client_name(headers: Mapping[bytes, bytes]) -> str:
    """Name and version from the user agent, e.g. `claude-cli/2.1.330`; empty when it has none."""
    first = headers.get(b"user-agent", b"").decode("latin-1").split(" ")[0][:80]
    return first if _PRODUCT.fullmatch(first) else ""


def session_of(headers: Mapping[bytes, bytes]) -> str:
    """The session a client names in its headers; empty when it names none."""
    for name in _SESSION_HEADERS:
        if value := headers.get(name):
            return value[:200].decode("latin-1")
    return ""


def decoded(body: bytes, coding: bytes, limit_bytes: int) -> bytes:
    """The body with its content coding undone.

    Raises:
        RefusedError: an unknown coding, a broken body, or one that grows over `limit_bytes`.
    """
    name = coding.strip().lower()
    if name in (b"", b"identity"):
        return body
    undo = _CODINGS.get(name)
    if undo is None:
        raise bad_request("The content-encoding of the body is not known here. Send gzip, zstd or deflate.", 415)
    try:
        plain = undo(body, limit_bytes + 1)
    except (zlib.error, zstandard.ZstdError, EOFError):
        raise bad_request("The body can't be decoded by its content-encoding.") from None
    if len(plain) > limit_bytes:
        raise too_large(limit_bytes)
    return plain


def too_large(limit_bytes: int) -> RefusedError:
    """A body over the cap."""
    return bad_request(f"The body is larger than {limit_bytes // 1024} KiB, the most this gateway takes.", 413)


def read_envelope(body: bytes, dialect: Dialect) -> Envelope:
    """The fields the gateway needs.

    Raises:
        RefusedError: the body is no JSON object, a field has the wrong type, or one is given twice.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise bad_request("The body is not valid JSON.") from None
    if not isinstance(value, dict):
        raise bad_request("The body must be a JSON object.")
    model = value.get("model")
    if not isinstance(model, str) or not 0 < len(model) <= MAX_MODEL_CHARS:
        raise bad_request("`model` must be the name of a model.")
    stream = value.get("stream", False)
    if stream is None:
        stream = False
    if not isinstance(stream, bool):
        raise bad_request("`stream` must be true or false.")
    span, has_foreign = _model_span(body)
    if wrong := ambiguity(body, value):
        raise bad_request(wrong)
    return Envelope(
        body=body,
        model=model,
        model_span=span,
        stream=stream,
        prompt_tokens=len(body) // _BYTES_PER_TOKEN,
        max_output_tokens=_output_limit(value),
        usage_at=body.index(b"{") + 1 if dialect == "openai-chat" and stream and "stream_options" not in value else -1,
        session_id=_without_key(_body_session(value, dialect)),
        offer=offered(value, dialect),
        has_foreign=has_foreign,
    )


def _output_limit(value: Mapping[str, Any]) -> int:
    limits = []
    for name in ("max_tokens", "max_completion_tokens", "max_output_tokens"):
        limit = value.get(name)
        if limit is None:
            continue
        if type(limit) is not int or limit < 0:
            raise bad_request(f"`{name}` must be a whole number.")
        limits.append(max(1, limit))
    choices = value.get("n")
    if isinstance(choices, float) and choices.is_integer():
        choices = int(choices)  # many parsers take 5.0 for 5
    # Upstreams differ in which of two limits counts, so the larger is reserved.
    return max(limits, default=0) * (choices if type(choices) is int and choices > 1 else 1)


def _body_session(value: Mapping[str, Any], dialect: Dialect) -> str:
    if dialect != "anthropic-messages":
        key = value.get("prompt_cache_key")
        return key[:200] if isinstance(key, str) else ""
    metadata = value.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    if not isinstance(user, str) or not user.startswith("{"):
        return ""
    try:
        session = orjson.loads(user).get("session_id")
    except (orjson.JSONDecodeError, AttributeError):
        return ""
    return session[:200] if isinstance(session, str) else ""


def _without_key(session_id: str) -> str:
    return "" if "mhk-" in session_id and _KEY.search(session_id.encode()) else session_id


def _model_span(body: bytes) -> tuple[tuple[int, int], bool]:
    """Where the value of the top-level `model` stands, and whether translated answers left something anywhere.

    Raises:
        RefusedError: there are two. Parsers differ in which one counts, so one model could be decided on
            and another one called.
    """
    keys = list(_MODEL_KEY.finditer(body))
    found = [match for match in keys if match["left"] is None]
    has_foreign = len(found) < len(keys)
    if len(found) > 1:
        top = _top_level_strings(body)  # once: it goes through all of the body
        found = [match for match in found if match.start() in top]
    if len(found) != 1:
        raise bad_request("`model` must be given once.")
    value = _STRING.match(body, found[0].end())
    if value is None:
        raise bad_request("`model` must be the name of a model.")
    return value.span(), has_foreign


def _top_level_strings(body: bytes) -> set[int]:
    depth = 0
    starts = set()
    for match in _TOKEN.finditer(body):
        match body[match.start()]:
            case 0x7B | 0x5B:
                depth += 1
            case 0x7D | 0x5D:
                depth -= 1
            case _ if depth == 1:
                starts.add(match.start())
    return starts


def _gunzip(body: bytes, limit_bytes: int) -> bytes:
    return _inflate(body, limit_bytes, zlib.MAX_WBITS | 16)


def _deflate(body: bytes, limit_bytes: int) -> bytes:
    # RFC 9110 section 8.4.1.2 means the zlib format; some clients send the raw one.
    try:
        return _inflate(body, limit_bytes, zlib.MAX_WBITS)
    except zlib.error:
        return _inflate(body, limit_bytes, -zlib.MAX_WBITS)


def _inflate(body: bytes, limit_bytes: int, window_bits: int) -> bytes:
    stream = zlib.decompressobj(window_bits)
    plain = stream.decompress(body, limit_bytes)
    if len(plain) < limit_bytes and (not stream.eof or stream.unused_data):
        raise EOFError
    return plain


def _unzstd(body: bytes, limit_bytes: int) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW_BYTES)
    with decompressor.stream_reader(body, read_across_frames=True) as reader:
        return reader.read(limit_bytes)


_CODINGS: Mapping[bytes, Callable[[bytes, int], bytes]] = {
    b"gzip": _gunzip,
    b"x-gzip": _gunzip,
    b"deflate": _deflate,
    b"zstd": _unzstd,
}
