"""Answers calls from a recording in the place of an upstream; all else of a call is real.

A request is answered by a recorded call whose body has the same digest: order, sessions and the names of models don't count,
so that parallel sessions get theirs. Asked for the n-th time it gives the n-th such call, and after the last the first again, so a
demo can be played twice. Pieces come as they were recorded, without the pauses between them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson

from mohist.gateway.tape import DOORS, Body, Outline, Taped, body_of, read_tape
from mohist.gateway.wire import Origin, Pool, Response, WireError


class Player:
    """One recording.

    Args:
        path: a file or a folder that holds one.

    Raises:
        TapeError: there is no readable recording.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._calls = read_tape(path)
        self._by_digest: dict[str, list[Taped]] = defaultdict(list)
        for call in self._calls:
            self._by_digest[call.body.sha256].append(call)
        self._asked: dict[str, int] = defaultdict(int)

    def answer(self, path: str, body: bytes) -> Response:
        """The recorded answer, or a 400 that says where the request leaves the recording."""
        door = next((door for door in DOORS if path.endswith(door)), "")
        try:
            asked = body_of(door, body)
        except ValueError:
            return _misfit(f"The recording {self._path.name!r} answers JSON objects alone.")
        found = self._by_digest.get(asked.sha256)
        if not found:
            return _misfit(f"The request does not fit the recording {self._path.name!r}: {self._difference(asked)}.")
        call = found[self._asked[asked.sha256] % len(found)]
        self._asked[asked.sha256] += 1
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in call.answer_headers]
        return _Played(call.status, headers, iter([piece for _, piece in call.pieces]), broken=call.end != "whole")

    def _difference(self, asked: Body) -> str:
        """Where the request leaves the recorded call that it follows longest."""
        if not self._calls:
            return "it holds no call"
        nearest = max(self._calls, key=lambda call: (_common(call.body.outline, asked.outline), -call.number))
        return f"the nearest is call {nearest.number}, {_departure(nearest.body.outline, asked.outline)}"


class ReplayPool(Pool):
    """Calls that go to the hosts of players are answered by them, all others by `inner`.

    Args:
        inner: makes the other calls; closed with this one.
        players: by host.
    """

    def __init__(self, inner: Pool, players: Mapping[str, Player]) -> None:
        super().__init__()
        self._inner = inner
        self._players = players

    async def request(
        self, origin: Origin, head: bytes, body: bytes, *, connect_timeout_s: float, first_byte_timeout_s: float
    ) -> Response:
        """See Pool."""
        player = self._players.get(origin.host)
        if player is None:
            return await self._inner.request(
                origin, head, body, connect_timeout_s=connect_timeout_s, first_byte_timeout_s=first_byte_timeout_s
            )
        path = head.split(b" ", 2)[1].partition(b"?")[0].decode("latin-1")
        return player.answer(path, body)

    def close(self) -> None:
        self._inner.close()


class _Played(Response):
    """A recorded answer."""

    __slots__ = ("_broken", "_pieces")

    def __init__(
        self, status: int, headers: list[tuple[bytes, bytes]], pieces: Iterator[bytes], *, broken: bool = False
    ) -> None:
        self.status = status
        self.headers = headers
        self._pieces = pieces
        self._broken = broken

    async def next(self, timeout_s: float) -> bytes | None:  # noqa: ARG002 - nothing is waited for
        await asyncio.sleep(0)  # as from a socket: others get their turn between two pieces
        piece = next(self._pieces, b"")
        if not piece and self._broken:
            raise WireError("the recorded answer ends here")
        return piece

    def close(self) -> None:
        """Nothing is held open."""


def _misfit(message: str) -> Response:
    error = {"type": "invalid_request_error", "code": "no_recorded_call", "message": message, "param": None}
    body = orjson.dumps({"type": "error", "error": error})  # both vendors' envelopes at once
    return _Played(400, [(b"content-type", b"application/json")], iter([body]))


def _common(recorded: Outline, asked: Outline) -> int:
    """How many parts are the same; every part of the fixed fields and of the conversation counts once."""
    return len(set(recorded) & set(asked))


def _departure(recorded: Outline, asked: Outline) -> str:
    old, new = dict(recorded), dict(asked)
    for place, digest in asked:
        if place not in old:
            return f"which has no {place}"
        if old[place] != digest:
            return f"which differs in {place}"
    gone = next(place for place in old if place not in new)
    return f"which has {gone} too"
