"""Calls are recorded as upstreams answer them, without credentials, and answered from the recording piece by piece."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mohist.gateway.errors import TapeError
from mohist.gateway.recorder import MAX_TAPED_BYTES, RecordingPool, Tape
from mohist.gateway.replay import Player, ReplayPool
from mohist.gateway.tape import Body, Taped, body_of, header_line, line, read_tape
from mohist.gateway.wire import Headers, Origin, Pool, Response, WireError

GOLDEN = Path(__file__).parents[1] / "golden" / "gateway" / "calls.jsonl"
KEY = "vendor-" + secrets.token_hex(12)
ORIGIN = Origin(False, "upstream", 80)
BODY = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}


@dataclass
class Scripted(Pool):
    """Answers every request the same way."""

    pieces: list[bytes]
    status: int = 200
    headers: Headers = field(
        default_factory=lambda: [(b"content-type", b"text/event-stream"), (b"set-cookie", b"a=b"), (b"x-org", b"acme")]
    )
    breaks: bool = False
    asked: int = 0

    async def request(self, origin, head, body, *, connect_timeout_s, first_byte_timeout_s):
        self.asked += 1
        return _Answer(self.status, self.headers, list(self.pieces), self.breaks)

    def close(self) -> None: ...


class _Answer(Response):
    def __init__(self, status: int, headers: Headers, pieces: list[bytes], breaks: bool) -> None:
        self.status, self.headers, self._left, self._breaks = status, headers, pieces, breaks

    async def next(self, timeout_s: float) -> bytes | None:
        if self._left:
            return self._left.pop(0)
        if self._breaks:
            raise WireError("gone")
        return b""

    def close(self) -> None: ...


def head(key: str = KEY, path: str = "/v1/chat/completions") -> bytes:
    lines = [f"POST {path}?beta=true HTTP/1.1", "host: upstream", "user-agent: client/1.0", "x-session-id: s-1"]
    return "\r\n".join([*lines, f"authorization: Bearer {key}", "cookie: c=d", "", ""]).encode()


async def ask(pool: Pool, body: object = BODY, path: str = "/v1/chat/completions", host: str = "upstream") -> Response:
    origin = Origin(False, host, 80)
    sent = json.dumps(body).encode()
    return await pool.request(origin, head(path=path), sent, connect_timeout_s=1, first_byte_timeout_s=1)


async def pieces(response: Response) -> list[bytes]:
    out = []
    while piece := await response.next(1):
        out.append(piece)
    response.close()
    return out


@asynccontextmanager
async def recording(folder: Path, inner: Pool) -> AsyncIterator[RecordingPool]:
    pool = RecordingPool(inner, Tape(folder, pytest.fail))
    try:
        yield pool
    finally:
        pool.close()


def player(path: Path) -> ReplayPool:
    return ReplayPool(Scripted([b"real"]), {"replayed": Player(path)})


async def test_what_was_recorded_comes_again_with_the_same_pieces(tmp_path: Path):
    said = [b"data: h", "ö".encode()[:1], "ö".encode()[1:] + b"\n\n", b"data: [DONE]\n\n"]
    async with recording(tmp_path, Scripted(said)) as pool:
        assert await pieces(await ask(pool)) == said
    answer = await ask(player(tmp_path), host="replayed")
    assert answer.status == 200
    assert answer.headers == [(b"content-type", b"text/event-stream")]
    assert await pieces(answer) == said


async def test_other_hosts_are_called_as_ever(tmp_path: Path):
    async with recording(tmp_path, Scripted([b"x"])) as pool:
        await pieces(await ask(pool))
    assert await pieces(await ask(player(tmp_path))) == [b"real"]


async def test_a_key_that_is_cut_between_two_pieces_is_not_kept_either(tmp_path: Path):
    key = KEY.encode()
    async with recording(tmp_path, Scripted([b"your key is " + key[:5], key[5:] + b"!"])) as pool:
        await pieces(await ask(pool))
    assert await pieces(await ask(player(tmp_path), host="replayed")) == [b"your key is [key]!"]


async def test_an_answer_without_end_is_passed_on_but_not_held(tmp_path: Path):
    told: list[str] = []
    long = [b"x" * (MAX_TAPED_BYTES // 2)] * 3
    pool = RecordingPool(Scripted(long), Tape(tmp_path, told.append))
    assert sum(map(len, await pieces(await ask(pool)))) == sum(map(len, long))
    pool.close()
    assert len(told) == 1
    assert (tmp_path / "calls.jsonl").read_bytes().count(b"\n") == 1


async def test_no_credential_is_kept_wherever_it_stands(tmp_path: Path):
    async with recording(tmp_path, Scripted([f"your key {KEY} is old".encode()])) as pool:
        await pieces(await ask(pool))
    async with recording(tmp_path, Scripted([f"{KEY[:12]}… is wrong".encode()], status=401)) as pool:
        await pieces(await ask(pool))
    text = (tmp_path / "calls.jsonl").read_text("ascii")
    assert KEY[:12] not in text
    assert "cookie" not in text
    assert "acme" not in text
    assert "hello" not in text  # what was asked is known by its digest alone
    assert (tmp_path / "calls.jsonl").stat().st_mode & 0o777 == 0o600
    first, second = read_tape(tmp_path)
    assert (first.session_id, first.headers["user-agent"]) == ("s-1", "client/1.0")
    assert (second.number, second.status, second.pieces) == (2, 401, ())


async def test_the_same_question_gets_the_recorded_answers_in_their_order_and_then_anew(tmp_path: Path):
    for said in (b"one", b"two"):
        async with recording(tmp_path, Scripted([said])) as pool:
            await pieces(await ask(pool))
    pool = player(tmp_path)
    assert [await pieces(await ask(pool, host="replayed")) for _ in range(3)] == [[b"one"], [b"two"], [b"one"]]


@pytest.mark.parametrize(
    "change",
    [
        {"model": "another"},
        {"metadata": {"user_id": "x"}},
        {"messages": [{"content": "hello", "role": "user"}]},
    ],
)
async def test_names_of_models_accounts_and_the_order_of_keys_do_not_count(tmp_path: Path, change: dict):
    async with recording(tmp_path, Scripted([b"one"])) as pool:
        await pieces(await ask(pool))
    assert await pieces(await ask(player(tmp_path), BODY | change, host="replayed")) == [b"one"]


async def test_days_and_durations_in_texts_do_not_count(tmp_path: Path):
    def body(text: str) -> dict:
        return BODY | {"messages": [{"role": "user", "content": text}]}

    async with recording(tmp_path, Scripted([b"one"])) as pool:
        await pieces(await ask(pool, body("today is 2026-01-02, it took 3.2 s")))
    answer = await ask(player(tmp_path), body("today is 2027-11-30, it took 14 s"), host="replayed")
    assert await pieces(answer) == [b"one"]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"messages": [{"role": "user", "content": "bye"}]}, "call 1, which differs in messages[0] (user)"),
        (
            {"messages": [*BODY["messages"], {"role": "tool", "content": "?"}]},
            "call 1, which has no messages[1] (tool)",
        ),
        ({"messages": []}, "call 1, which has messages[0] (user) too"),
        ({"temperature": 0.5}, "call 1, which has no temperature"),
        ({"stream": False}, "call 1, which differs in stream"),
    ],
)
async def test_a_request_that_does_not_fit_is_told_where_it_departs(tmp_path: Path, change: dict, where: str):
    async with recording(tmp_path, Scripted([b"one"])) as pool:
        await pieces(await ask(pool))
    answer = await ask(player(tmp_path), BODY | change, host="replayed")
    assert answer.status == 400
    (told,) = await pieces(answer)
    assert where in json.loads(told)["error"]["message"]


async def test_another_door_is_another_question(tmp_path: Path):
    async with recording(tmp_path, Scripted([b"one"])) as pool:
        await pieces(await ask(pool))
    answer = await ask(player(tmp_path), path="/v1/messages", host="replayed")
    assert answer.status == 400


async def test_an_answer_that_broke_off_breaks_off_again(tmp_path: Path):
    async with recording(tmp_path, Scripted([b"half"], breaks=True)) as pool:
        with pytest.raises(WireError):
            await pieces(await ask(pool))
    answer = await ask(player(tmp_path), host="replayed")
    assert await answer.next(1) == b"half"
    with pytest.raises(WireError):
        await answer.next(1)


async def test_a_client_that_left_is_written_down_as_such(tmp_path: Path):
    async with recording(tmp_path, Scripted([b"a", b"b"])) as pool:
        answer = await ask(pool)
        await answer.next(1)
        answer.close()
    (call,) = read_tape(tmp_path)
    assert (call.end, [piece for _, piece in call.pieces]) == ("left", [b"a"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "can't be read"),
        (b'{"format":"mohist-calls","version":1}\n{"call":1', "torn at line 2"),
        (b'{"format":"mohist-calls","version":1}\n{}\n', "Line 2"),
        (b'{"format":"mohist-calls","version":9}\n', "no recording of calls"),
        (b'{"format":"mohist-recording","version":1}\n', "recording of a run"),
        (b"nonsense\n", "Line 1"),
    ],
)
def test_what_is_no_recording_is_refused_by_name(tmp_path: Path, text: bytes | None, told: str):
    path = tmp_path / "x.jsonl"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(TapeError, match=told):
        read_tape(path)


def test_the_format_is_as_the_golden_file_has_it():
    body = body_of(
        "/messages", b'{"model":"m","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'
    )
    call = Taped(
        1,
        "/messages",
        "m",
        True,
        "s-1",
        {"user-agent": "client/1.0"},
        body,
        200,
        (("content-type", "text/event-stream"),),
        ((3, b"event: ping\n\n"), (5, b"\xc3")),
        "whole",
    )
    assert header_line() + line(call) == GOLDEN.read_bytes()
    assert read_tape(GOLDEN) == (call,)
    assert isinstance(call.body, Body)
