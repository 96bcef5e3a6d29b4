"""Fetches answers and files over HTTP, or from folders, with bounds."""

from __future__ import annotations

import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import anyio

from mohist.vet.errors import RegistryError
from mohist.vet.limit import Limits

if TYPE_CHECKING:
    import httpx2

AGENT = "mohist-vet"
_STEP_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What an address answered."""

    status: int
    kind: str
    """Of the content, without its parameters: "application/json"."""
    body: bytes

    def json(self, url: str) -> Any:
        """The body, decoded.

        Raises:
            RegistryError: it is no JSON.
        """
        try:
            return json.loads(self.body)
        except ValueError:
            raise RegistryError(f"{url} answers with what is no JSON.", "Check that it is a registry.") from None


@dataclass(frozen=True, slots=True)
class Saved:
    """A file that was fetched."""

    path: Path
    size_bytes: int
    digests: Mapping[str, str]
    """ "sha1", "sha256", "sha512" -> hex."""


class Fetcher:
    """One session with registries.

    Args:
        client: of httpx2.
        headers: address -> headers, for credentials.
        limits: of sizes.
    """

    def __init__(self, client: httpx2.AsyncClient, headers: Callable[[str], Mapping[str, str]], limits: Limits) -> None:
        self._client = client
        self._headers = headers
        self._limits = limits

    async def ask(self, url: str, accept: str) -> Answer:
        """An answer of bounded size, whatever its status.

        Raises:
            RegistryError: no answer, or one that is too long.
        """
        if url.startswith("file:"):
            return _local(url)
        import httpx2

        try:
            async with self._client.stream(
                "GET", url, headers={"accept": accept, "accept-encoding": "gzip", **self._headers(url)}
            ) as answer:
                body = bytearray()
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > self._limits.max_answer_bytes:
                        raise RegistryError(f"{url} answers with more than {self._limits.max_answer_bytes} bytes.")
                kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
                return Answer(answer.status_code, kind, bytes(body))
        except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError, OSError) as error:
            raise RegistryError(
                f"{url} does not answer: {type(error).__name__}: {error}.",
                "Check the network and the registry's settings.",
            ) from None

    async def save(self, url: str, path: Path) -> Saved:
        """Fetches a file.

        Args:
            url: of it; a folder's file is copied.
            path: where it goes; its folder exists.

        Raises:
            RegistryError: it is not there, or too long.
        """
        digests = {name: hashlib.new(name, usedforsecurity=False) for name in ("sha1", "sha256", "sha512")}
        size = 0
        async with await anyio.open_file(path, "xb") as file:
            async for piece in self._pieces(url):
                size += len(piece)
                if size > self._limits.max_download_bytes:
                    raise RegistryError(
                        f"{url} is longer than {self._limits.max_download_bytes} bytes.",
                        "Raise the limit max_download_bytes.",
                    )
                await file.write(piece)
                for digest in digests.values():
                    digest.update(piece)
        return Saved(path, size, {name: digest.hexdigest() for name, digest in digests.items()})

    async def _pieces(self, url: str) -> AsyncIterator[bytes]:
        if url.startswith("file:"):
            try:
                async with await anyio.open_file(unquote(urlsplit(url).path), "rb") as file:
                    while piece := await file.read(_STEP_BYTES):
                        yield piece
            except OSError as error:
                raise RegistryError(f"{url} can't be read: {error.strerror}.") from None
            return
        import httpx2

        try:
            async with self._client.stream("GET", url, headers=self._headers(url)) as answer:
                if answer.status_code != 200:
                    raise RegistryError(
                        f"{url} answers {answer.status_code}.", "Check that the registry still holds the file."
                    )
                # As it is sent: a registry's own compression of a packed file would give other bytes than it names digests of.
                async for piece in answer.aiter_raw():
                    yield piece
        except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError, OSError) as error:
            raise RegistryError(f"{url} could not be fetched: {type(error).__name__}: {error}.", "Try again.") from None


@asynccontextmanager
async def fetcher(
    headers: Callable[[str], Mapping[str, str]], ca_file: str, proxy: str, limits: Limits
) -> AsyncIterator[Fetcher]:
    """A session; where no proxy and no certificates are configured, the environment says which, as for npm and pip.

    Raises:
        RegistryError: the file of certificates can't be read.
    """
    import httpx2

    verify: ssl.SSLContext | bool = True
    if ca_file:
        try:
            verify = ssl.create_default_context()
            verify.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError):
            raise RegistryError(
                f"The certificates in {ca_file} can't be read.", "Mend cafile of npm or cert of pip."
            ) from None
    try:
        through = httpx2.Proxy(proxy) if proxy else None
    except (httpx2.InvalidURL, ValueError):
        raise RegistryError("The proxy that npm or pip is configured with is no address.", "Mend it.") from None
    async with httpx2.AsyncClient(
        proxy=through,
        timeout=limits.request_timeout_s,
        follow_redirects=True,
        max_redirects=limits.max_redirects,
        verify=verify,
        headers={"user-agent": AGENT, "accept-encoding": "identity"},
    ) as client:
        yield Fetcher(client, headers, limits)


def _local(url: str) -> Answer:
    path = Path(unquote(urlsplit(url).path))
    page = path / "index.html" if path.is_dir() else path
    try:
        if page.is_file():
            return Answer(200, "text/html" if page.suffix == ".html" else "", page.read_bytes())
        if path.is_dir():
            links = "".join(f'<a href="{one.name}">{one.name}</a>' for one in sorted(path.iterdir()) if one.is_file())
            return Answer(200, "text/html", links.encode("utf-8"))
    except OSError as error:
        raise RegistryError(f"{url} can't be read: {error.strerror}.") from None
    return Answer(404, "", b"")
