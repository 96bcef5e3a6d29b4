"""A program uses a secret that it never has, towards one host alone."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

import pytest
from fence_room import HOST, TLS, Origin, Say, codes, connect, inside, origin, resolver, speak, to_port, trusting
from hypothesis import given
from hypothesis import strategies as st

from mohist.sandbox import Attempt, Authority, Bubblewrap, Credential, Fence, Rule, Rules
from mohist.sandbox.fence.exchange import swap
from mohist.sandbox.fence.scrub import Scrub

pytestmark = pytest.mark.enable_socket


@pytest.fixture
def credential() -> Credential:
    return Credential(sentinel="sentinel-" + secrets.token_hex(16), secret="real-" + secrets.token_hex(20))


def asking(credential: Credential, host: bytes = HOST.encode(), more: bytes = b"") -> bytes:
    basic = base64.b64encode(b"user:" + credential.sentinel.encode())
    return (
        b"POST /x HTTP/1.1\r\nHost: " + host + b"\r\nAuthorization: Bearer " + credential.sentinel.encode()
        + b"\r\nX-Api-Key: " + credential.sentinel.encode() + b"\r\nX-Other: " + credential.sentinel.encode()
        + b"\r\nProxy-Authorization: Basic " + basic + b"\r\nAccept-Encoding: gzip\r\nContent-Length: 0\r\n"
        + b"Connection: close\r\n" + more + b"\r\n"
    )  # fmt: skip


async def test_the_secret_is_in_the_request_and_nowhere_inside(
    sandbox: Bubblewrap, workspace: Path, credential: Credential, caplog: pytest.LogCaptureFixture
) -> None:
    """The server repeats all that it was sent, and each header of it, so that the program would read it there."""
    outside, authority = Authority(), Authority()
    attempts: list[Attempt] = []
    rules = Rules([Rule(HOST, private=True, credentials=(credential,))])

    def echo(head: bytes) -> bytes:
        return (
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Echo: %s\r\n\r\n" % (len(head), credential.secret.encode())
            + head
        )

    async with (
        origin(outside.context(HOST), Origin(answer=echo)) as server,
        Fence(
            to_port(rules, server.port), attempts.append, resolve=resolver({HOST: ["127.0.0.1"]}),
            authority=authority, trust=trusting(outside),
        ) as fence,
    ):  # fmt: skip
        told = await speak(
            sandbox,
            workspace,
            fence,
            {"x": connect(HOST.encode() + b":443", TLS, asking(credential), server_name=HOST)},
        )
        done = await inside(sandbox, workspace, fence, ["sh", "-c", "env; cat /proc/*/environ /etc/mohist/*"])
    (request,) = server.requests
    secret, sentinel = credential.secret.encode(), credential.sentinel.encode()
    assert b"Authorization: Bearer " + secret in request
    assert b"X-Api-Key: " + secret in request
    assert b"X-Other: " + sentinel in request  # only where credentials belong
    assert b"Accept-Encoding: identity" in request
    assert b"Proxy-Authorization" not in request
    assert b"POST /x" in told["x"]
    assert b"X-Echo: " + sentinel in told["x"]
    for text in (told["x"], done.output, repr(attempts).encode(), repr(rules.__dict__).encode(), caplog.text.encode()):
        assert secret not in text
    assert codes(attempts) == ["through"]
    assert repr(credential).count(credential.secret) == 0


async def test_the_sentinel_stays_a_sentinel_towards_others(
    sandbox: Bubblewrap, workspace: Path, credential: Credential
) -> None:
    attempts: list[Attempt] = []
    rules = Rules([Rule(HOST, (80,), private=True, credentials=(credential,)), Rule("b.example", (80,), private=True)])
    table = resolver({HOST: ["127.0.0.1"], "b.example": ["127.0.0.1"]})
    async with origin() as server, Fence(to_port(rules, server.port), attempts.append, resolve=table) as fence:
        items = {
            "allowed": connect(b"allowed.example:80", asking(credential)),
            "other": connect(b"b.example:80", asking(credential, b"b.example")),
            "other by name of the allowed": connect(b"b.example:80", asking(credential)),
            "both on one connection": Say(
                (
                    asking(credential)
                    .replace(b"/x", b"http://allowed.example/x")
                    .replace(b"Connection: close\r\n", b""),
                    asking(credential, b"b.example").replace(b"/x", b"http://b.example/x"),
                )
            ),
        }
        await speak(sandbox, workspace, fence, items)
    assert codes(attempts) == ["through", "through", "host-mismatch", "through", "through"]
    held = [credential.secret.encode() in request for request in server.requests]
    named = [b"Host: allowed.example" in request for request in server.requests]
    assert held == named == [True, False, True, False]


async def test_without_an_authority_nothing_is_sent(
    sandbox: Bubblewrap, workspace: Path, credential: Credential
) -> None:
    outside = Authority()
    attempts: list[Attempt] = []
    rules = Rules([Rule(HOST, private=True, credentials=(credential,))])
    async with (
        origin(outside.context(HOST)) as server,
        Fence(to_port(rules, server.port), attempts.append, resolve=resolver({HOST: ["127.0.0.1"]})) as fence,
    ):
        await speak(
            sandbox, workspace, fence, {"x": connect(b"allowed.example:443", TLS, asking(credential), server_name=HOST)}
        )
    assert codes(attempts) == ["no-authority"]
    assert server.requests == []


async def test_what_is_no_http_does_not_pass_a_rule_with_credentials(
    sandbox: Bubblewrap, workspace: Path, credential: Credential
) -> None:
    attempts: list[Attempt] = []
    rules = Rules([Rule(HOST, (80,), private=True, credentials=(credential,))])
    async with (
        origin() as server,
        Fence(to_port(rules, server.port), attempts.append, resolve=resolver({HOST: ["127.0.0.1"]})) as fence,
    ):
        await speak(sandbox, workspace, fence, {"x": connect(b"allowed.example:80", b"SSH-2.0-x\r\n" * 3)})
    assert codes(attempts) == ["protocol"]
    assert server.requests == []


def test_inside_basic_authorization_too() -> None:
    credential = Credential("s" * 20, "real")
    plain = b"user:" + b"s" * 20
    swapped = swap(b"authorization", b"Basic " + base64.b64encode(plain), credential)
    assert base64.b64decode(swapped.removeprefix(b"Basic ")) == b"user:real"
    assert swap(b"authorization", b"basic !!!", credential) == b"basic !!!"
    assert swap(b"x-api-key", b"Basic " + base64.b64encode(plain), credential) == b"Basic " + base64.b64encode(plain)


@given(st.lists(st.binary(max_size=12), max_size=8), st.integers(0, 8))
def test_a_repeated_secret_is_taken_out_however_it_is_cut(chunks: list[bytes], place: int) -> None:
    secret, sentinel = b"abcabd", b"<sentinel>"
    scrub = Scrub([Credential(sentinel.decode(), secret.decode())])
    whole = b"".join(chunks[:place]) + secret + b"".join(chunks[place:])
    passed = b"".join(scrub.feed(bytes((byte,))) for byte in whole) + scrub.end()
    assert passed == whole.replace(secret, sentinel)


def test_a_stream_is_not_held_back() -> None:
    scrub = Scrub([Credential("<sentinel-16-long>", "secret")])
    assert scrub.feed(b"data: one\n\n") == b"data: one\n\n"
    assert scrub.feed(b"data: sec") == b"data: "
    assert scrub.feed(b"ond\n\n") == b"second\n\n"
