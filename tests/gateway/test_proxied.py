"""An upstream that is reached through a proxy only."""

from __future__ import annotations

import pytest

from fakes.upstream import Reply, Upstream
from mohist.gateway.proxied import ProxiedPool, proxy_of
from mohist.gateway.wire import Origin, WireError

HEAD = b"POST /v1/x?y=1 HTTP/1.1\r\nhost: models.test\r\nx-api-key: k\r\ncontent-length: 4\r\n\r\n"
FAR = Origin(False, "models.test", 80)


@pytest.mark.enable_socket
async def test_a_request_goes_through_the_proxy_as_it_is_and_its_answer_comes_in_pieces():
    body = b"data: 1\n\ndata: 2\n\n"
    async with Upstream([Reply(body, piece_bytes=9)]) as proxy:
        pool = ProxiedPool(proxy.url)
        response = await pool.request(FAR, HEAD, b"body", connect_timeout_s=5, first_byte_timeout_s=5)
        got = []
        while piece := await response.next(5):
            got.append(piece)
        response.close()
        pool.close()
    assert b"".join(got) == body
    (request,) = proxy.requests
    assert (request.path, request.body) == ("http://models.test/v1/x?y=1", b"body")
    assert (request.headers["host"], request.headers["x-api-key"]) == ("models.test", "k")


@pytest.mark.enable_socket
async def test_a_stream_that_breaks_off_and_a_proxy_that_is_not_there_are_wire_errors():
    async with Upstream([Reply(b"data: 1\n\ndata: 2\n\n", cut_at=9)]) as proxy:
        pool = ProxiedPool(proxy.url)
        response = await pool.request(FAR, HEAD, b"body", connect_timeout_s=5, first_byte_timeout_s=5)
        assert await response.next(5) == b"data: 1\n\n"
        with pytest.raises(WireError):
            await response.next(5)
        response.close()
        pool.close()
    gone = ProxiedPool("127.0.0.1:1")
    with pytest.raises(WireError, match="through the proxy"):
        await gone.request(FAR, HEAD, b"", connect_timeout_s=5, first_byte_timeout_s=5)
    gone.close()


@pytest.mark.parametrize(
    ("env", "proxy"),
    [
        ({}, ""),
        ({"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, ""),
        ({"ALL_PROXY": "http://p:2"}, "http://p:2"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "models.test"}, ""),
    ],
)
def test_the_environment_names_the_proxy(monkeypatch: pytest.MonkeyPatch, env: dict[str, str], proxy: str):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert proxy_of("https://models.test/v1") == proxy
