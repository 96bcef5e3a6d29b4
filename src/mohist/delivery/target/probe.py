"""One question to a service: is it well, and which version is it?"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2

from mohist.delivery.target.contract import Answer

_MAX_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """How a service is asked. Either `url` or `command`."""

    url: str = ""
    """An address; anything below 400 counts as well."""
    command: str = ""
    """Exit code 0 counts as well; its output is what `version` looks at."""
    version: str = ""
    """Where the answer names its version: `json:a.b`, `header:NAME` or `regexp:PATTERN` with one group. Empty: nowhere."""
    timeout_s: float = 5.0


Asker = Callable[[str], Awaitable[tuple[int | None, bytes]]]
"""Runs a probe's command where the service is; gives exit code and output."""


async def ask(spec: ProbeSpec, *, url: str = "", runs: Asker | None = None) -> Answer:
    """Asks once; a service that does not answer is an answer too.

    Args:
        url: asks there instead of at the spec's address.
        runs: runs the spec's command.
    """
    if spec.command and not url and runs is not None:
        return await _ask_command(spec, runs)
    return await _ask_http(spec, url or spec.url)


async def _ask_command(spec: ProbeSpec, runs: Asker) -> Answer:
    began_s = time.monotonic()
    exit_code, output = await runs(spec.command)
    took_ms = (time.monotonic() - began_s) * 1000
    if exit_code != 0:
        return Answer(ok=False, latency_ms=took_ms, error=f"the probe's command ended with {exit_code}")
    return Answer(ok=True, version=find_version(spec.version, output, {}), latency_ms=took_ms)


async def _ask_http(spec: ProbeSpec, url: str) -> Answer:
    began_s = time.monotonic()
    try:
        # A new connection each time: one that is kept would ask the release that it was opened to.
        async with (
            httpx2.AsyncClient(timeout=spec.timeout_s, trust_env=False) as client,
            client.stream("GET", url, headers={"connection": "close", "user-agent": "mohist-probe"}) as answer,
        ):
            body = b""
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > _MAX_BYTES or time.monotonic() - began_s > spec.timeout_s:
                    break
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        return Answer(ok=False, error=f"no answer: {type(error).__name__}")
    took_ms = (time.monotonic() - began_s) * 1000
    version = find_version(spec.version, body, dict(answer.headers))
    well = answer.status_code < httpx2.codes.BAD_REQUEST
    return Answer(well, version, took_ms, "" if well else f"it answers {answer.status_code}")


def find_version(where: str, body: bytes, headers: dict[str, str]) -> str:
    """The version that an answer names; empty where it names none."""
    kind, _, place = where.partition(":")
    if kind == "header":
        return headers.get(place.strip().lower(), "").strip()
    if kind == "json":
        return _field(body, place.strip())
    if kind == "regexp":
        found = re.search(place, body.decode("utf-8", "replace"))
        return (found.group(1) if found.groups() else found.group(0)).strip() if found else ""
    return ""


def _field(body: bytes, path: str) -> str:
    try:
        value: Any = json.loads(body)
    except ValueError:
        return ""
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            return ""
        value = value[name]
    return str(value) if isinstance(value, str | int | float) else ""
