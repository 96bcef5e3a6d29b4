"""What a confined program asks for is judged outside, by name, and recorded, whichever way it asks."""

# ruff: noqa: ASYNC240 - tests look at the disk between awaits

from __future__ import annotations

import json
import os
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream
from fence_room import (
    GET,
    HOST,
    TLS,
    Say,
    codes,
    connect,
    extended,
    inside,
    origin,
    real_hello,
    resolver,
    socks,
    speak,
    to_port,
    trusting,
)
from sandbox_room import PYTHON

from mohist.sandbox import (
    Asked,
    Attempt,
    Authority,
    Bubblewrap,
    Decision,
    Dial,
    Fence,
    FenceLimits,
    Landlock,
    Profile,
    Refuse,
    RefusedError,
    Rule,
    Rules,
    SandboxError,
    Serve,
    run,
)
from mohist.sandbox.fence.post import open_post

pytestmark = pytest.mark.enable_socket

RULES = Rules([Rule(HOST, ports=(80, 443), private=True), Rule("*.below.example", private=True)])
LOOPBACK = resolver({HOST: ["127.0.0.1"], "a.below.example": ["127.0.0.1"]})


def everything(asked: Asked) -> Decision:
    """What a fence without rules would do; shows that a refusal is the rule's doing."""
    return Dial(private=True)


REFUSED = {
    "another host": (connect(b"evil.example:443"), "not-listed"),
    "loopback by address": (connect(b"127.0.0.1:443"), "not-listed"),
    "loopback by name": (connect(b"localhost:443"), "not-listed"),
    "loopback by IPv6": (connect(b"[::1]:443"), "not-listed"),
    "loopback mapped into IPv6": (connect(b"[::ffff:127.0.0.1]:443"), "not-listed"),
    "decimal address": (connect(b"2130706433:443"), "bad-name"),
    "hexadecimal address": (connect(b"0x7f000001:443"), "bad-name"),
    "octal address": (connect(b"017700000001:443"), "bad-name"),
    "short address": (connect(b"127.1:443"), "bad-name"),
    "NUL in the name": (connect(b"allowed.example\0.evil.example:443"), "protocol"),
    "NUL in the name, SOCKS": (socks(b"evil.example\0.below.example"), "bad-name"),
    "user part": (connect(b"allowed.example@evil.example:443"), "bad-name"),
    "password part": (connect(b"allowed.example:443@evil.example:443"), "bad-name"),
    "suffix": (connect(b"allowed.example.evil.example:443"), "not-listed"),
    "prefix": (connect(b"evilallowed.example:443"), "not-listed"),
    "apex of a family": (connect(b"below.example:443"), "not-listed"),
    "two trailing dots": (connect(b"allowed.example..:443"), "bad-name"),
    "percent": (connect(b"allowed.example%2eevil.example:443"), "bad-name"),
    "fragment": (connect(b"evil.example#allowed.example:443"), "bad-name"),
    "another port": (connect(b"allowed.example:22"), "port"),
    "port beyond 16 bits": (connect(b"allowed.example:65979"), "bad-port"),
    "no port": (connect(b"allowed.example"), "bad-name"),
    "two ports": (connect(b"allowed.example:443:22"), "bad-name"),
    "metadata by address": (connect(b"169.254.169.254:80"), "not-listed"),
    "SOCKS listening": (socks(HOST.encode(), command=2), "command"),
    "SOCKS datagrams": (socks(HOST.encode(), command=3), "command"),
    "SOCKS address as a name": (socks(b"127.1"), "bad-name"),
    "request for another host": (Say((b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",)), "not-listed"),
    "Host of another": (Say((b"GET http://allowed.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",)), "host-mismatch"),
    "line of another": (Say((b"GET http://evil.example/ HTTP/1.1\r\nHost: allowed.example\r\n\r\n",)), "host-mismatch"),
    "https in the clear": (Say((b"GET https://allowed.example/ HTTP/1.1\r\nHost: allowed.example\r\n\r\n",)), "protocol"),
    "no host at all": (Say((b"GET / HTTP/1.1\r\nHost: allowed.example\r\n\r\n",)), "protocol"),
    "user part in a request": (Say((b"GET http://a@allowed.example/ HTTP/1.1\r\nHost: allowed.example\r\n\r\n",)), "bad-name"),
    "Host of another in a tunnel": (connect(b"allowed.example:80", GET.replace(b": allowed", b": evil")), "host-mismatch"),
    "line of another in a tunnel": (connect(b"allowed.example:80", GET.replace(b"/x", b"http://evil.example/x")), "host-mismatch"),
    "plain HTTP/2 in a tunnel": (connect(b"allowed.example:80", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "protocol"),
    "bare address, directly": (Say((GET,), "198.51.100.9", 80), "not-listed"),
    "loopback, directly": (Say((GET,), "127.0.0.1", 80), "not-listed"),
    "bare address by IPv6, directly": (Say((GET,), "2001:db8::9", 80), "not-listed"),
    "nobody's port, directly": (Say((b"x",), "198.51.100.9", 4444), "port"),
}  # fmt: skip
LET_THROUGH = {
    "a tunnel": connect(b"allowed.example:80", GET),
    "capitals and a trailing dot": connect(b"Allowed.EXAMPLE.:80", GET),
    "SOCKS 5": socks(b"allowed.example", 80, GET),
    "SOCKS 4a": Say((b"\x04\x01\x00\x50\x00\x00\x00\x01\x00allowed.example\x00", GET)),
    "a request": Say((GET.replace(b"/x", b"http://allowed.example/x"),)),
}


@pytest.fixture
async def said(
    sandbox: Bubblewrap, workspace: Path
) -> tuple[dict[str, bytes], list[Attempt], list[bytes], int, list[str]]:
    """All of it in one start: what was told, recorded, arrived and resolved."""
    attempts: list[Attempt] = []
    calls: list[str] = []
    table = {name: ["127.0.0.1"] for name in (HOST, "evil.example", "localhost", "below.example")}
    async with (
        origin() as server,
        Fence(to_port(RULES, server.port), attempts.append, resolve=resolver(table, calls)) as fence,
    ):
        items = {name: say for name, (say, _) in REFUSED.items()} | LET_THROUGH
        told = await speak(sandbox, workspace, fence, items)
        return told, attempts, server.requests, server.connections, calls


async def test_only_what_is_allowed_gets_out_and_all_is_recorded(said) -> None:
    told, attempts, requests, connections, calls = said
    watched = [each for each in attempts if each.asked.carrier == "other"]
    assert codes(watched) == ["port"]
    expected = [code for name, (_, code) in REFUSED.items() if name != "nobody's port, directly"]
    recorded = codes([each for each in attempts if each not in watched])
    assert recorded == expected + ["through"] * len(LET_THROUGH)  # in order, one each
    for name in LET_THROUGH:
        assert b"200 OK" in told[name], name
        assert b"originGET /x HTTP/1.1" in told[name], name
    assert len(requests) == len(LET_THROUGH)
    # Those in a tunnel that is itself allowed are stopped after it was dialled; no byte of them arrives.
    assert connections == len(LET_THROUGH) + sum("in a tunnel" in name for name in REFUSED)
    assert calls == [HOST] * connections  # once a connection, and never for anybody else


async def test_a_refusal_tells_code_and_reason(said) -> None:
    told, attempts, *_ = said
    for name, (say, code) in REFUSED.items():
        answer = told[name]
        if say.chunks[0][:1] == b"\x05":
            assert answer[:4] in (b"\x05\x00\x05\x02", b"\x05\x00\x05\x07"), name
        elif name not in ("nobody's port, directly", "plain HTTP/2 in a tunnel"):  # no way to tell
            assert b"HTTP/1.1 403 Forbidden\r\n" in answer, name
            assert b"\r\nMohist-Refused: " + code.encode() in answer, name
            assert answer.endswith(b"\n"), name
    for attempt in attempts:
        assert bool(attempt.reason) == (attempt.outcome == "refused")


async def test_without_rules_the_same_bytes_get_out(sandbox: Bubblewrap, workspace: Path) -> None:
    """The proof: it is the decision that holds them, not a broken request."""
    attempts: list[Attempt] = []
    well_formed = {name: say for name, (say, code) in REFUSED.items() if code in ("not-listed", "port")}
    tell = {name: say for name, say in well_formed.items() if say.port == 3128 and say.chunks[0][:1] == b"C"}

    async def resolve(name: str) -> list[str]:
        return ["127.0.0.1"]

    def decide(asked: Asked) -> Decision:
        return Dial(host="127.0.0.1", private=True)

    async with origin() as server, Fence(to_port(decide, server.port), attempts.append, resolve=resolve) as fence:
        open_items = {name: Say((*say.chunks, GET.replace(HOST.encode(), _target(say)))) for name, say in tell.items()}
        told = await speak(sandbox, workspace, fence, open_items)
    assert [name for name, answer in told.items() if b"200 OK" not in answer] == []
    assert len(server.requests) == len(tell) >= 9


def _target(say: Say) -> bytes:
    target = say.chunks[0].split()[1]
    return target.removesuffix(b":80")


@pytest.mark.parametrize(
    ("addresses", "private", "code"),
    [
        (["127.0.0.1"], False, "private-address"),
        (["10.0.0.9"], False, "private-address"),
        (["::ffff:127.0.0.1"], False, "private-address"),
        (["64:ff9b::7f00:1"], False, "private-address"),
        (["8.8.8.8", "10.0.0.9"], False, "private-address"),
        (["169.254.169.254"], False, "metadata-address"),
        (["169.254.169.254"], True, "metadata-address"),
        (["::ffff:169.254.169.254"], True, "metadata-address"),
        (["127.0.0.1", "fd00:ec2::254"], True, "metadata-address"),
        ([], True, "unknown-name"),
    ],
    ids=str,
)
async def test_where_a_name_leads_is_judged_before_it_is_dialled(
    sandbox: Bubblewrap, workspace: Path, addresses: list[str], private: bool, code: str
) -> None:
    attempts: list[Attempt] = []
    rules = Rules([Rule(HOST, ports=(80,), private=private)])
    async with (
        origin() as server,
        Fence(to_port(rules, server.port), attempts.append, resolve=resolver({HOST: addresses})) as fence,
    ):
        told = await speak(sandbox, workspace, fence, {"x": connect(b"allowed.example:80", GET)})
    assert codes(attempts) == [code]
    assert server.connections == 0
    assert b"Mohist-Refused: " + code.encode() in told["x"]


async def test_an_answer_that_changes_is_judged_anew_and_the_judged_one_is_dialled(
    sandbox: Bubblewrap, workspace: Path
) -> None:
    attempts: list[Attempt] = []
    answers = [["127.0.0.1"], ["169.254.169.254"]]

    async def resolve(name: str) -> list[str]:
        return answers.pop(0)  # a second question for one connection would find the other address

    rules = Rules([Rule(HOST, ports=(80,), private=True)])
    async with origin() as server, Fence(to_port(rules, server.port), attempts.append, resolve=resolve) as fence:
        items = {"first": connect(b"allowed.example:80", GET), "second": connect(b"allowed.example:80", GET)}
        told = await speak(sandbox, workspace, fence, items)
    assert codes(attempts) == ["through", "metadata-address"]
    assert [attempt.address for attempt in attempts] == ["127.0.0.1", ""]
    assert b"200 OK" in told["first"]
    assert server.connections == 1


async def test_a_metadata_service_is_reached_only_where_its_very_address_is_named() -> None:
    from mohist.sandbox.errors import FencedError
    from mohist.sandbox.fence.dial import _check, address_of

    address = address_of("169.254.169.254")
    assert address is not None
    _check("169.254.169.254", address, Dial(private=True))
    for host, dial in ((HOST, Dial(private=True)), ("169.254.169.254", Dial())):
        with pytest.raises(FencedError, match="credentials"):
            _check(host, address, dial)


async def test_tls_must_be_for_whom_the_tunnel_is_for(sandbox: Bubblewrap, workspace: Path) -> None:
    outside = Authority()
    attempts: list[Attempt] = []
    async with (
        origin(outside.context(HOST)) as server,
        Fence(to_port(RULES, server.port), attempts.append, resolve=LOOPBACK) as fence,
    ):
        items = {
            "same": connect(b"allowed.example:443", TLS, GET, server_name=HOST),
            "other": connect(b"allowed.example:443", TLS, GET, server_name="evil.example"),
            "none": connect(b"allowed.example:443", TLS, GET),
            "socks": socks(HOST.encode(), 443, TLS, GET, server_name="a.below.example"),
        }
        told = await speak(sandbox, workspace, fence, items)
    assert codes(attempts) == ["through", "sni-mismatch", "sni-missing", "sni-mismatch"]
    assert b"originGET /x" in told["same"]
    for name in ("other", "none", "socks"):
        assert b"ACCESS_DENIED" in told[name].upper().replace(b" ", b"_"), told[name]
    assert len(server.requests) == 1


async def test_a_program_that_knows_no_proxy_is_known_by_name_too(sandbox: Bubblewrap, workspace: Path) -> None:
    outside = Authority()
    attempts: list[Attempt] = []
    code = f"""
import socket, ssl
for host, name in (({HOST!r}, {HOST!r}), ({HOST!r}, "evil.example"), ("evil.example", "evil.example")):
    try:
        with socket.create_connection((host, 443), 5) as plain:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            stream = context.wrap_socket(plain, server_hostname=name)
            stream.sendall({GET!r})
            print(stream.recv(20))
    except OSError as error:
        print(type(error).__name__)
"""
    async with (
        origin(outside.context(HOST)) as server,
        Fence(to_port(RULES, server.port), attempts.append, resolve=LOOPBACK) as fence,
    ):
        done = await inside(sandbox, workspace, fence, [PYTHON, "-I", "-S", "-c", code])
    assert done.output.split(b"\n")[:3] == [b"b'HTTP/1.1 200 OK\\r\\nCon'", b"SSLError", b"gaierror"], done.output
    direct = [each for each in attempts if each.asked.carrier == "direct"]
    assert sorted(codes(direct)) == ["sni-mismatch", "through"]  # by their ends
    names = [each for each in attempts if each.asked.carrier == "name"]
    assert {(each.asked.host, each.outcome, each.code) for each in names} == {
        (HOST, "served", ""), ("evil.example", "refused", "not-listed")
    }  # fmt: skip


async def test_an_encrypted_hello_passes_only_where_that_is_allowed(sandbox: Bubblewrap, workspace: Path) -> None:
    hello = extended(real_hello(HOST), 0xFE0D, bytes(40))
    for allowed in (False, True):
        attempts: list[Attempt] = []
        async with (
            origin() as server,
            Fence(
                to_port(RULES, server.port), attempts.append, resolve=LOOPBACK, limits=limited(encrypted_hello=allowed)
            ) as fence,
        ):
            await speak(sandbox, workspace, fence, {"x": connect(b"allowed.example:443", hello + b"\r\n\r\n")})
        assert codes(attempts) == (["through"] if allowed else ["ech"])
        assert len(server.requests) == allowed


async def test_looking_into_tls_sees_each_request(sandbox: Bubblewrap, workspace: Path) -> None:
    """Two hosts with one certificate: what would coalesce on one connection is stopped at the second request."""
    outside, authority = Authority(), Authority()
    attempts: list[Attempt] = []
    rules = Rules([Rule(HOST, private=True, inspect=True)])
    second = GET.replace(b": allowed", b": other")
    first = GET.replace(b"Connection: close\r\n", b"")
    async with (
        origin(outside.context(HOST)) as server,
        Fence(
            to_port(rules, server.port), attempts.append, resolve=LOOPBACK, authority=authority, trust=trusting(outside)
        ) as fence,
    ):
        items = {"two": connect(b"allowed.example:443", TLS, first, second, server_name=HOST)}
        told = await speak(sandbox, workspace, fence, items)
    assert codes(attempts) == ["host-mismatch"]
    assert len(server.requests) == 1
    assert b"originGET /x" in told["two"]
    assert b"Mohist-Refused: host-mismatch" in told["two"]


async def test_nothing_is_sent_to_who_can_not_prove_its_name(sandbox: Bubblewrap, workspace: Path) -> None:
    rogue, outside, authority = Authority(), Authority(), Authority()
    attempts: list[Attempt] = []
    rules = Rules([Rule(HOST, private=True, inspect=True)])
    for context in (rogue.context(HOST), outside.context("other.example")):
        async with (
            origin(context) as server,
            Fence(
                to_port(rules, server.port), attempts.append, resolve=LOOPBACK, authority=authority,
                trust=trusting(outside),
            ) as fence,
        ):  # fmt: skip
            await speak(sandbox, workspace, fence, {"x": connect(b"allowed.example:443", TLS, GET, server_name=HOST)})
        assert server.requests == []
    assert [(each.outcome, each.code) for each in attempts] == [("failed", "tls")] * 2


async def test_mohist_answers_itself_in_every_way_of_asking(sandbox: Bubblewrap, workspace: Path) -> None:
    attempts: list[Attempt] = []
    heard: list[tuple[Asked, bytes]] = []

    async def handler(stream: ByteStream, asked: Asked) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += await stream.receive()
        heard.append((asked, data))
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")

    def decide(asked: Asked) -> Decision:
        return Serve(handler, tls=True)

    script = """
curl -sS http://a.example/1 && curl -sS https://a.example/2 && curl -sS --noproxy '*' https://a.example/3 &&
curl -sS --noproxy '*' http://a.example/4 && curl -sS -x socks5h://127.0.0.1:3128 https://a.example/5 &&
curl -sS --noproxy '*' http://198.51.100.7/6
"""
    async with Fence(decide, attempts.append, authority=Authority()) as fence:
        done = await inside(sandbox, workspace, fence, ["sh", "-c", script])
    assert done.output == b"hi" * 6
    assert [asked.carrier for asked, _ in heard] == ["http", "connect", "direct", "direct", "socks", "direct"]
    assert [asked.port for asked, _ in heard] == [80, 443, 443, 80, 443, 80]
    assert {asked.host for asked, _ in heard[:5]} == {"a.example"}
    assert heard[5][0].host == "198.51.100.7"
    assert all(data.startswith(f"GET /{number} HTTP/1.1\r\n".encode()) for number, (_, data) in enumerate(heard, 1))
    assert {each.outcome for each in attempts} == {"served"}


async def test_an_answer_that_fails_does_not_end_the_fence(sandbox: Bubblewrap, workspace: Path) -> None:
    attempts: list[Attempt] = []

    async def handler(stream: ByteStream, asked: Asked) -> None:
        raise ValueError("of Mohist's own")

    async with Fence(lambda asked: Serve(handler), attempts.append) as fence:
        told = await speak(
            sandbox, workspace, fence, {"a": connect(b"a.example:80", GET), "b": connect(b"b.example:80", GET)}
        )
    assert [(each.outcome, each.code) for each in attempts] == [("failed", "handler")] * 2
    assert all(b"502" in answer for answer in told.values())


async def test_packets_to_any_port_are_seen(sandbox: Bubblewrap, workspace: Path) -> None:
    attempts: list[Attempt] = []
    code = """
import socket
def tcp(family, address, port):
    s = socket.socket(family); s.settimeout(5)
    try: s.connect((address, port)); print("open")
    except OSError as error: print(type(error).__name__)
tcp(socket.AF_INET, "198.51.100.7", 4444)
tcp(socket.AF_INET6, "2001:db8::7", 4445)
tcp(socket.AF_INET, "127.0.0.1", 11434)
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("198.51.100.7", 443))
socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b"x", ("2001:db8::8", 53535))
own = socket.create_server(("127.0.0.1", 0)); tcp(socket.AF_INET, *own.getsockname())
tcp(socket.AF_INET, socket.gethostbyname("named.example"), 8443)
"""

    def decide(asked: Asked) -> Decision:
        return everything(asked) if asked.carrier == "name" else Refuse("not-listed", "no")

    async with Fence(decide, attempts.append) as fence:
        done = await inside(sandbox, workspace, fence, [PYTHON, "-I", "-S", "-c", code])
    assert done.output.split() == [b"ConnectionRefusedError"] * 3 + [b"open", b"ConnectionRefusedError"], done.output
    seen = [(each.asked.host, each.asked.port, each.reason) for each in attempts if each.asked.carrier == "other"]
    assert seen == [
        ("198.51.100.7", 4444, "no (tcp)"), ("2001:db8::7", 4445, "no (tcp)"), ("127.0.0.1", 11434, "no (tcp)"),
        ("198.51.100.7", 443, "no (udp)"), ("2001:db8::8", 53535, "no (udp)"), ("named.example", 8443, "no (tcp)"),
    ]  # fmt: skip


async def test_names_are_answered_by_any_server_that_is_asked(sandbox: Bubblewrap, workspace: Path) -> None:
    attempts: list[Attempt] = []
    code = """
import socket, struct
message = struct.pack(">HHHHHH", 9, 256, 1, 0, 0, 0) + b"\\x01a\\x07example\\0" + struct.pack(">HH", 1, 1)
for family, server in ((socket.AF_INET, "8.8.8.8"), (socket.AF_INET6, "2001:4860:4860::8888")):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(5); s.connect((server, 53)); s.send(message); print(socket.inet_ntoa(s.recv(512)[-4:]))
with socket.create_connection(("1.1.1.1", 53), 5) as s:
    s.sendall(struct.pack(">H", len(message)) + message); print(socket.inet_ntoa(s.recv(512)[-4:]))
print(socket.gethostbyname("a.example"))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(5); s.sendto(message[:-4] + b"\\0\\x10\\0\\1", ("8.8.8.8", 53)); s.recv(512)
"""
    async with Fence(everything, attempts.append) as fence:
        done = await inside(sandbox, workspace, fence, [PYTHON, "-I", "-S", "-c", code])
    assert done.output.split() == [b"198.18.0.1"] * 4, done.output
    assert {(each.asked, each.outcome) for each in attempts} == {(Asked("name", "a.example", 0), "served")}
    assert [each.reason for each in attempts if each.reason] == ["asked for TXT"]


async def test_what_a_tree_said_last_still_arrives(sandbox: Bubblewrap, workspace: Path) -> None:
    attempts: list[Attempt] = []
    heard: list[bytes] = []

    ended = anyio.Event()

    async def handler(stream: ByteStream, asked: Asked) -> None:
        await ended.wait()
        while True:
            try:
                heard.append(await stream.receive())
            except anyio.EndOfStream:
                return

    code = "import socket; s = socket.create_connection(('198.51.100.7', 80)); s.sendall(b'last words'); import os; os._exit(0)"
    async with Fence(lambda asked: Serve(handler), attempts.append) as fence:
        await inside(sandbox, workspace, fence, [PYTHON, "-I", "-S", "-c", code])
        ended.set()
    assert b"".join(heard) == b"last words"
    assert [(each.outcome, each.sent_bytes) for each in attempts] == [("served", 10)]


async def test_after_the_fence_nothing_is_reached(sandbox: Bubblewrap, workspace: Path) -> None:
    attempts: list[Attempt] = []
    code = """
import socket, sys
socket.create_connection(("127.0.0.1", 3128), 5).close()
open("up", "w").close()
while True:
    try: socket.create_connection(("127.0.0.1", 3128), 5).close()
    except OSError as error: print(type(error).__name__); break
"""
    profile_of = {"extra_readable": (), "network": "fenced"}
    async with Fence(everything, attempts.append) as fence:
        from sandbox_room import TOOLCHAIN

        profile = Profile(workspace, **{**profile_of, "extra_readable": TOOLCHAIN}, fence=fence)
        process = await sandbox.launch([PYTHON, "-I", "-S", "-c", code], cwd=workspace, profile=profile)
        with anyio.fail_after(60):
            while not (workspace / "up").exists():
                await anyio.lowlevel.checkpoint()
    async with process:
        with anyio.fail_after(60):
            said = b"".join([chunk async for chunk in process.output()])
    assert said in (b"ConnectionRefusedError\n", b"ConnectionResetError\n")


async def test_two_trees_share_a_fence_and_not_each_other(sandbox: Bubblewrap, workspace: Path) -> None:
    attempts: list[Attempt] = []
    code = "import socket\nfor p in range(9000, 9010): socket.create_server(('0.0.0.0', p))\nprint(open('/proc/net/dev').read().count(':'))"
    async with Fence(lambda asked: Refuse("no", "no"), attempts.append) as fence, anyio.create_task_group() as group:
        outputs = []

        async def one() -> None:
            outputs.append((await inside(sandbox, workspace, fence, [PYTHON, "-I", "-S", "-c", code])).output)

        group.start_soon(one)
        group.start_soon(one)
    assert outputs == [b"1\n"] * 2


async def test_the_bodys_own_error_comes_out_of_the_fence_as_it_is() -> None:
    with pytest.raises(KeyError):
        async with Fence(everything, lambda attempt: None):
            raise KeyError("own")


async def test_a_fence_that_is_not_open_starts_nothing(sandbox: Bubblewrap, workspace: Path) -> None:
    fence = Fence(everything, lambda attempt: None)
    with pytest.raises(RefusedError, match="not open"):
        await inside(sandbox, workspace, fence, ["touch", "made"])
    assert not (workspace / "made").exists()


@pytest.mark.parametrize("network", ["none", "full"])
async def test_a_fence_goes_with_the_network_that_is_fenced_alone(
    sandbox: Bubblewrap, workspace: Path, network: str
) -> None:
    async with Fence(everything, lambda attempt: None) as fence:
        with pytest.raises(RefusedError, match="go together"):
            await run(sandbox, ["true"], cwd=workspace, profile=Profile(workspace, network=network, fence=fence))
    with pytest.raises(RefusedError, match="go together"):
        await run(sandbox, ["true"], cwd=workspace, profile=Profile(workspace, network="fenced"))


def test_a_tree_without_a_network_of_its_own_gets_no_fence() -> None:
    with pytest.raises(SandboxError, match="shares the host's network"):
        open_post(os.getpid(), 3128, (80,))


async def test_landlock_alone_refuses_a_fence(workspace: Path) -> None:
    async with Fence(everything, lambda attempt: None) as fence:
        with pytest.raises(RefusedError, match="no fence"):
            await Landlock(accepted="landlock")._launch(
                ["true"], workspace, Profile(workspace, network="fenced", fence=fence)
            )


async def test_descriptors_and_tasks_are_given_back(sandbox: Bubblewrap, workspace: Path) -> None:
    async with Fence(everything, lambda attempt: None) as fence:
        await inside(sandbox, workspace, fence, ["true"])
    before = len(list(Path("/proc/self/fd").iterdir()))
    for argv in (["true"], ["no-such-program"]):
        async with Fence(everything, lambda attempt: None) as fence:
            await inside(sandbox, workspace, fence, argv)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


async def test_the_tree_is_told_of_the_fence(sandbox: Bubblewrap, workspace: Path) -> None:
    async with Fence(everything, lambda attempt: None, authority=Authority()) as fence:
        done = await inside(
            sandbox, workspace, fence, ["sh", "-c", "env -0; echo; cat /etc/resolv.conf; cat $NODE_EXTRA_CA_CERTS; tail -n 20 $SSL_CERT_FILE; echo; stat -c %a /etc/mohist"],
            env={"HTTP_PROXY": "mine"},
        )  # fmt: skip
    variables = dict(item.split(b"=", 1) for item in done.output.split(b"\0")[:-1])
    assert variables[b"HTTP_PROXY"] == b"mine"
    assert variables[b"https_proxy"] == b"http://127.0.0.1:3128"
    assert done.output.count(b"-----BEGIN CERTIFICATE-----") >= 2
    assert b"nameserver 127.0.0.1\n" in done.output
    assert b"PRIVATE" not in done.output
    assert done.output.endswith(b"755\n")
    assert json.dumps(dict(fence.env))


def limited(**bounds: float) -> FenceLimits:
    return FenceLimits(**bounds)  # type: ignore[arg-type]


async def test_bounds_hold(sandbox: Bubblewrap, workspace: Path) -> None:
    attempts: list[Attempt] = []
    big = GET.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * 3000 + b"\r\n\r\n")
    slow = Say((b"CONNECT allowed.example:80 HT",))
    async with (
        origin() as server,
        Fence(
            to_port(RULES, server.port), attempts.append, resolve=LOOPBACK,
            limits=limited(connection_bytes=2000, head_s=1.5, head_bytes=2500),
        ) as fence,
    ):  # fmt: skip
        items = {
            "small": connect(b"allowed.example:80", GET),
            "long head": connect(b"allowed.example:80", big),
            "long connect": connect(b"a" * 3000),
            "slow": slow,
            "slow hello": connect(b"allowed.example:443", b"\x16\x03\x01\x00\xff"),
        }
        told = await speak(sandbox, workspace, fence, items)
    assert b"200 OK" in told["small"]
    assert codes(attempts) == ["through", "budget", "protocol", "timeout", "timeout"]
    assert len(server.requests) == 1


async def test_the_fences_budget_is_for_all_connections_together(sandbox: Bubblewrap, workspace: Path) -> None:
    attempts: list[Attempt] = []
    async with (
        origin() as server,
        Fence(to_port(RULES, server.port), attempts.append, resolve=LOOPBACK, limits=limited(total_bytes=900)) as fence,
    ):
        items = {str(number): connect(b"allowed.example:80", GET) for number in range(6)}
        await speak(sandbox, workspace, fence, items)
    outcome = codes(attempts)
    assert outcome[0] == "through"
    assert outcome[-1] == "budget"
    assert len(server.requests) < 6


async def test_too_many_attempts_shut_the_fence(sandbox: Bubblewrap, workspace: Path) -> None:
    attempts: list[Attempt] = []
    async with (
        origin() as server,
        Fence(to_port(RULES, server.port), attempts.append, resolve=LOOPBACK, limits=limited(attempts=4)) as fence,
    ):
        items = {str(number): connect(b"evil.example:443") for number in range(6)} | {
            "then": connect(b"allowed.example:80", GET)
        }
        told = await speak(sandbox, workspace, fence, items)
    assert codes(attempts) == ["not-listed"] * 4
    assert "last one recorded" in attempts[-1].reason
    assert b"Mohist-Refused: attempts" in told["then"]
    assert server.connections == 0


async def test_connections_at_once_are_bounded(sandbox: Bubblewrap, workspace: Path) -> None:
    attempts: list[Attempt] = []
    code = """
import socket
held = [socket.create_connection(("127.0.0.1", 3128), 5) for _ in range(3)]
last = socket.create_connection(("127.0.0.1", 3128), 5)
print(last.recv(10))
"""
    async with Fence(everything, attempts.append, limits=limited(connections=3)) as fence:
        done = await inside(sandbox, workspace, fence, [PYTHON, "-I", "-S", "-c", code])
    assert done.output == b"b''\n"
    assert codes(attempts) == ["busy"]
