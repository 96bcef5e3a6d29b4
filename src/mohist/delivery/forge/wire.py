"""How a forge is asked: one call, one answer, and what its failure means. The token goes to the forge's own address only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

import httpx2

from mohist.base import Clock
from mohist.delivery.errors import ForgeAwayError, ForgeError
from mohist.delivery.forge.contract import Request

P = ParamSpec("P")
T = TypeVar("T")
LONGEST_PAUSE_S: Final = 3600.0
"""A forge that asks for more is asked again after this."""
_TIMEOUT_S: Final = 30.0
_LARGEST_BYTES: Final = 16 * 1024**2
_TEXT_CHARS: Final = 300
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_SERVER_ERROR, _TOO_MANY, _FORBIDDEN = 500, 429, 403


@dataclass(frozen=True, slots=True)
class Answer:
    """Status below 500 and what was said."""

    status: int
    said: Any

    @property
    def why(self) -> str:
        """The forge's own words, shortened; plain text of somebody else."""
        said = self.said
        if isinstance(said, Mapping):
            said = said.get("message") or said.get("error") or ""
        text = " ".join(str(said).split())
        return text[:_TEXT_CHARS] or f"status {self.status}"


@dataclass(frozen=True, slots=True)
class Wire:
    """One forge, one token."""

    api: str
    headers: Mapping[str, str] = field(repr=False)
    clock: Clock

    def __post_init__(self) -> None:
        parts = urlsplit(self.api)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise ForgeError(f"{self.api!r} is no address for a token.", "A forge's address begins with https://.")

    async def call(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None, *,
        accept: Sequence[int] = (),
    ) -> Answer:  # fmt: skip
        """Asks.

        Args:
            method: HTTP's.
            path: below `api`, quoted.
            query: not quoted.
            body: sent as JSON.
            accept: statuses beside 2xx that are answers.

        Raises:
            ForgeAwayError: no answer, a server's error, or it asks for a pause.
            ForgeError: any other status.
        """
        try:
            async with httpx2.AsyncClient(timeout=_TIMEOUT_S, headers=dict(self.headers)) as client:
                answer = await client.request(method, f"{self.api}{path}", params=query or {}, json=body)
                data = answer.content
        except httpx2.HTTPError as error:
            raise ForgeAwayError(f"{self.api} does not answer: {type(error).__name__}.") from None
        status = answer.status_code
        pause_s = _pause_s(answer.headers, self.clock)
        limited = status == _FORBIDDEN and (pause_s > 0 or answer.headers.get("x-ratelimit-remaining") == "0")
        if status >= _SERVER_ERROR or status == _TOO_MANY or limited:
            raise ForgeAwayError(f"{self.api} answers {status}.", retry_after_s=min(pause_s, LONGEST_PAUSE_S))
        if len(data) > _LARGEST_BYTES:
            raise ForgeError(f"{self.api} answers {method} {path} with {len(data)} bytes.")
        try:
            said = answer.json() if data else None
        except ValueError:
            said = None
            if answer.is_success:
                # A login page or a proxy's notice: the forge itself did not speak.
                raise ForgeAwayError(f"{self.api} answers {method} {path} with no JSON.") from None
        told = Answer(status, said)
        if not answer.is_success and status not in accept:
            raise ForgeError(
                f"{self.api} answers {status} to {method} {path}: {told.why}.", "Check project and the token's rights."
            )
        return told


def understood(ask: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """An answer without what every forge of its kind says is one that something between wrote: it is asked again."""

    @wraps(ask)
    async def asked(*args: P.args, **named: P.kwargs) -> T:
        try:
            return await ask(*args, **named)
        except (KeyError, TypeError, AttributeError) as error:
            raise ForgeAwayError(f"The forge's answer is not understood: {type(error).__name__} {error}.") from None

    return asked


def ended(now: Request, answer: Answer) -> Request:
    """The request, which is over.

    Raises:
        ForgeError: it is not, with what the forge said.
    """
    if now.state == "open":
        raise ForgeError(f"{now.url} stays open: {answer.why}.", "Close it there.")
    return now


def _pause_s(headers: Mapping[str, str], clock: Clock) -> float:
    """Of `retry-after` (RFC 9110, 10.2.3; forges send seconds), else until the limit is lifted: GitHub and Gitea name it
    `x-ratelimit-reset`, GitLab `ratelimit-reset`, all in seconds since 1970."""
    after = headers.get("retry-after", "")
    if after.isdecimal():
        return float(after)
    if headers.get("x-ratelimit-remaining", headers.get("ratelimit-remaining")) == "0":
        reset = headers.get("x-ratelimit-reset", headers.get("ratelimit-reset", ""))
        if reset.isdecimal():
            return max(0.0, int(reset) - clock.now_ms() / 1000)
    return 0.0


def marker(key: str) -> str:
    """What a request's text says so that it is found again; shown by no forge."""
    return f"<!-- mohist-delivery: {key} -->"


def number_of(which: int | str, project: str, api: str, between: str) -> int:
    """The number in an issue's address of this project, or the number itself.

    Args:
        which: number, `#12`, or address.
        project: `owner/name`.
        api: the forge's; an address of another host is refused.
        between: what stands between project and number: `/issues/`, `/-/issues/`.

    Raises:
        ForgeError: it is another project's, or none.
    """
    text = str(which).removeprefix("#")
    if text.isdecimal():
        return int(text)
    parts = urlsplit(text)
    host = urlsplit(api).hostname or ""
    before, found, rest = parts.path.strip("/").partition(f"{project}{between}")
    number = rest.partition("/")[0]
    same_host = parts.hostname is not None and host in (parts.hostname, f"api.{parts.hostname}")
    if (
        not same_host
        or not found
        or not number.isdecimal()
        or (before and not api.rstrip("/").count(before.strip("/")))
    ):
        raise ForgeError(f"{text!r} is no issue of {project}.", "Name it by number, or name its project's forge.")
    return int(number)
