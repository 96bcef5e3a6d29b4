"""What a subject sent, byte for byte."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass

import zstandard

_CONTENT_BYTES = 64 * 1024**2
"""Of a body once its coding is undone; a request of a coding client is a thousandth of that."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as it arrived."""

    at_ms: float
    """Since the subject was started."""
    waited_ms: float
    """Since the last answer before it had ended, or since the start; never below 0."""
    host: str
    """Whom the subject wanted to reach."""
    port: int
    method: str
    target: str
    """Path and query as written, without scheme and host."""
    version: str
    headers: tuple[tuple[str, str], ...]
    """Names and what stands after the colon, both as written (Latin-1), in order."""
    body: bytes
    """Without transfer coding, with content coding."""
    tls: bool = False

    def header(self, name: str) -> str:
        """The first value of that name without space around it; empty: there is none."""
        return next((value.strip() for key, value in self.headers if key.lower() == name), "")

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def content(self) -> bytes:
        """The body with its content coding undone; as it is where that fails or the coding is not known."""
        coding = self.header("content-encoding").lower()
        try:
            if coding == "gzip":
                return gzip.decompress(self.body)
            if coding == "deflate":
                return zlib.decompress(self.body)
            if coding == "zstd":
                return zstandard.ZstdDecompressor().decompress(self.body, max_output_size=_CONTENT_BYTES)
        except (OSError, EOFError, zlib.error, zstandard.ZstdError):
            return self.body
        return self.body

    @property
    def head(self) -> bytes:
        """Request line and headers, as sent but for a scheme and host in the target."""
        lines = [f"{self.method} {self.target} {self.version}", *(f"{name}:{value}" for name, value in self.headers)]
        return "\r\n".join(lines).encode("latin-1", "replace")
