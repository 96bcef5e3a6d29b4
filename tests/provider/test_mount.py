"""An application mounted behind the HTTP client: streams, waits for its reader, hears a hang-up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from mohist.provider.mount import Mount

PATIENCE_S = 60.0


@asynccontextmanager
async def client(application: Any) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=Mount(application), trust_env=False) as made:
        yield made


def start(status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": [(b"x-said", b"yes")]}


def part(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def test_the_application_gets_the_request_and_the_client_its_answer():
    seen: dict[str, Any] = {}

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope, message=await receive())
        await send(start(418))
        await send(part(b"tea", more=False))

    async with client(application) as http:
        answer = await http.post("http://in-process/v1/x?a=1", content=b"body", headers={"X-Key": "k"})
    assert (answer.status_code, answer.content, answer.headers["x-said"]) == (418, b"tea", "yes")
    assert (seen["method"], seen["path"], seen["query_string"]) == ("POST", "/v1/x", b"a=1")
    assert dict(seen["headers"])[b"x-key"] == b"k"
    assert seen["message"] == {"type": "http.request", "body": b"body", "more_body": False}


async def test_an_answer_is_read_piece_by_piece_while_the_application_makes_it():
    made: list[int] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        for number in range(5):
            made.append(number)
            await send(part(b"%d" % number))
        await send(part(b"", more=False))

    async with client(application) as http, http.stream("GET", "http://in-process/") as answer:
        ahead = [made[-1] - int(piece) async for piece in answer.aiter_raw()]
    assert made == [0, 1, 2, 3, 4]
    assert max(ahead) <= 1  # a slow reader is not written ahead of


async def test_a_reader_that_leaves_is_a_client_that_hung_up():
    heard = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(start())
        await send(part(b"first"))
        assert (await receive())["type"] == "http.disconnect"
        await send(part(b"for nobody"))
        heard.set()

    async with client(application) as http:
        async with http.stream("GET", "http://in-process/") as answer:
            async for piece in answer.aiter_raw():
                assert piece == b"first"
                break
        assert heard.is_set()  # closing waits for the application's end


async def test_a_cancelled_call_hangs_up_too():
    waiting, heard = asyncio.Event(), asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        waiting.set()
        assert (await receive())["type"] == "http.disconnect"
        heard.set()

    async with client(application) as http:
        call = asyncio.ensure_future(http.get("http://in-process/"))
        async with asyncio.timeout(PATIENCE_S):
            await waiting.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
    assert heard.is_set()


@pytest.mark.parametrize("begun", [False, True])
async def test_an_answer_that_is_not_ended_is_a_broken_connection(begun: bool):
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if begun:
            await send(start())
            await send(part(b"half"))
        raise RuntimeError

    async with client(application) as http:
        with pytest.raises(httpx2.RemoteProtocolError):
            await http.get("http://in-process/")


async def test_calls_that_run_at_the_same_time_do_not_mix():
    async def application(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        await send(start())
        for _ in range(20):
            await send(part(body))
        await send(part(b"", more=False))

    async with client(application) as http:
        calls = [http.post("http://in-process/", content=b"%d;" % number) for number in range(10)]
        answers = await asyncio.gather(*calls)
    assert [answer.content for answer in answers] == [b"%d;" % number * 20 for number in range(10)]
