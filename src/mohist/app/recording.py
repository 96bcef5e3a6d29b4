"""The way to the upstreams where calls are recorded, or answered from recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from mohist.base import sha256_hex
from mohist.gateway.recorder import RecordingPool, Tape
from mohist.gateway.replay import Player, ReplayPool
from mohist.gateway.route import Route
from mohist.gateway.wire import Pool


def replay_url(upstream: str) -> str:
    """The address of an upstream that a recording answers for; such a name is never looked up (RFC 6761)."""
    return f"http://replay-{sha256_hex(upstream.encode())[:12]}.invalid/v1"


def way(routes: Iterable[Route], record: Path | None, tell: Callable[[str], None]) -> Pool:
    """Connections, with what stands before them.

    Args:
        routes: their upstreams may be recordings; each is read once.
        record: folder that a recording of all calls goes to; None: none is made.
        tell: told when calls are missing from it.

    Raises:
        TapeError: a recording can't be read, or the folder not be written.
    """
    pool = Pool()
    recorded = {end.base_url: end.replay for route in routes for end in route.upstreams if end.replay}
    if recorded:
        hosts = {urlsplit(url).hostname or "": Player(Path(path)) for url, path in recorded.items()}
        pool = ReplayPool(pool, hosts)
    if record is not None:
        pool = RecordingPool(pool, Tape(record, tell))
    return pool
