"""What scripts/test-soak does: a gateway, two upstreams and many clients, each a process or a connection of its own.

Nothing of it is timed for a verdict: it counts streams that lie about being whole, calls that fail though an upstream was
there, calls that usage does not know, and megabytes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

MODELS = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}
ROUTES = """
[[routes]]
model = "soak"
{ends}
"""
END = """
[[routes.upstreams]]
name = "{name}:{dialect}"
dialect = "{dialect}"
url = "http://127.0.0.1:{port}/v1"
account = "{name}"
"""
MAX_GROWTH = 1.2
"""Memory at the end against memory in the first third; a leak of one chunk in a hundred would show as more."""
SLACK_MB = 10
START_S = 20.0


def chunk(dialect: str, number: int) -> bytes:
    """One event; its text is its number."""
    if dialect == "chat":
        value: dict[str, object] = {"model": "soak", "choices": [{"index": 0, "delta": {"content": f"<{number}>"}}]}
        return b"data: " + json.dumps(value).encode() + b"\n\n"
    value = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": f"<{number}>"}}
    return b"event: content_block_delta\ndata: " + json.dumps(value).encode() + b"\n\n"


def ending(dialect: str, chunks: int) -> bytes:
    """The events after the last chunk."""
    if dialect == "chat":
        usage = {"prompt_tokens": 10, "completion_tokens": chunks}
        return b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\ndata: [DONE]\n\n"
    done = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": chunks}}
    return (
        b"event: message_delta\ndata: " + json.dumps(done).encode() + b"\n\n"
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    )


async def upstream(chunks: int, pause_s: float) -> None:
    """Streams to everybody who asks, until it is killed."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(
                    next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))[15:]
                )
                await reader.readexactly(size)
                dialect = "messages" if b"/messages" in head.split(b"\r\n")[0] else "chat"
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                for number in range(chunks):
                    event = chunk(dialect, number)
                    writer.write(b"%x\r\n%s\r\n" % (len(event), event))
                    await writer.drain()
                    await asyncio.sleep(pause_s)
                last = ending(dialect, chunks)
                writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(last), last))
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


@dataclass
class Score:
    """What became of the streams."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    first_bytes_after_kill: int = 0


async def one_call(port: int, key: str, dialect: str, chunks: int, killed: asyncio.Event, score: Score) -> None:
    """One stream, judged."""
    body = json.dumps(
        {"model": "soak", "stream": True, "max_tokens": chunks, "stream_options": {"include_usage": True}}
        if dialect == "chat"
        else {"model": "soak", "stream": True, "max_tokens": chunks}
    ).encode()
    began_before_kill = not killed.is_set()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {MODELS[dialect]} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close\r\n"
    got = bytearray()
    whole = True
    try:
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        status = int(answer.split(b" ")[1])
        while status == 200 and (size := int(await reader.readuntil(b"\r\n"), 16)):
            got += (await reader.readexactly(size + 2))[:-2]
        if status != 200:
            score.faults.append(f"status {status}: {(await reader.read())[:200]!r}")
            score.counts["refused"] += 1
            return
    except (asyncio.IncompleteReadError, ConnectionError):
        whole = False
    finally:
        writer.close()
    judge(bytes(got), whole, dialect, chunks, may_break=began_before_kill and killed.is_set(), score=score)


def judge(got: bytes, whole: bool, dialect: str, chunks: int, *, may_break: bool, score: Score) -> None:
    """Complete and in order; or visibly broken, which only those may be that ran when the upstream was killed."""
    numbers = [int(number) for number in re.findall(rb"<(\d+)>", got)]
    ended = got.endswith(ending(dialect, chunks))
    told = b'"error"' in got
    if numbers != list(range(len(numbers))):
        score.faults.append("chunks were lost or came out of order")
        score.counts["damaged"] += 1
    elif whole and ended and len(numbers) == chunks:
        score.counts["whole"] += 1
    elif whole and not told:
        score.faults.append(f"a stream of {len(numbers)} chunks looks whole and is not")
        score.counts["damaged"] += 1
    else:
        score.counts["broken off, told by an event" if told else "broken off, connection closed"] += 1
        if not may_break:
            score.faults.append(f"a stream of {len(numbers)} chunks broke off and nobody was killed")


def rss_mb(pid: int) -> float:
    """Resident memory of a process; 0 where the system does not tell it so."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
        return int(found.group(1)) / 1024 if found else 0.0
    return 0.0


class Stage:
    """The processes, in a home of their own."""

    def __init__(self, home: Path, args: argparse.Namespace) -> None:
        self.home = home
        self._args = args
        self._children: list[subprocess.Popen[str]] = []
        self._said = (home / "said").open("w+", encoding="utf-8")
        self._env = {**os.environ, "MOHIST_HOME": str(home), "NO_PROXY": "127.0.0.1"}

    def start(self, *command: str) -> tuple[subprocess.Popen[str], str]:
        """A process, and the first line that it says."""
        child = subprocess.Popen(command, env=self._env, stdout=subprocess.PIPE, stderr=self._said, text=True)
        self._children.append(child)
        assert child.stdout is not None
        said = child.stdout.readline().strip()
        if not said:
            self._said.seek(0)
            raise SystemExit(f"scripts/test-soak: {' '.join(command[1:])} did not start:\n{self._said.read()}")
        return child, said

    def upstream(self) -> tuple[subprocess.Popen[str], int]:
        pause_s = self._args.stream_seconds / self._args.chunks
        child, said = self.start(
            sys.executable, __file__, "--upstream", "--chunks", str(self._args.chunks), "--pause", str(pause_s)
        )
        return child, int(said)

    def mohist(self, *words: str) -> str:
        """A command's output."""
        command = [sys.executable, "-m", "mohist", *words]
        return subprocess.run(command, env=self._env, capture_output=True, text=True, check=True).stdout

    def stop(self) -> None:
        for child in self._children:
            child.terminate()
            try:
                child.wait(START_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._said.close()


async def soak(args: argparse.Namespace, stage: Stage) -> int:
    victim, victim_port = stage.upstream()
    _, spare_port = stage.upstream()
    ends = [("one", victim_port), ("two", spare_port)]
    dialects = ("openai-chat", "anthropic-messages")
    listed = "".join(END.format(name=name, port=port, dialect=d) for d in dialects for name, port in ends)
    (stage.home / "routes.toml").write_text(ROUTES.format(ends=listed), encoding="utf-8")
    server, url = stage.start(sys.executable, "-m", "mohist", "serve", "--port", "0")
    port = int(url.rpartition(":")[2])
    key = next(v for v in json.loads(stage.mohist("keys", "create", "--user", "soak", "--json")).values() if str(v).startswith("mhk-"))  # fmt: skip
    killed = asyncio.Event()
    score = Score()
    started_s = time.monotonic()
    end_s = started_s + args.seconds
    memory: dict[str, float] = {"before": rss_mb(server.pid)}
    await asyncio.sleep(1.0)  # the gateway takes a new key over within a second

    async def client(number: int) -> None:
        dialect = "chat" if number % 2 else "messages"
        # Not all at once, so that some calls begin at any time, that of the kill included.
        await asyncio.sleep(args.stream_seconds * number / args.clients / 4)
        while time.monotonic() < end_s:
            await one_call(port, key, dialect, args.chunks, killed, score)

    async def events() -> None:
        await asyncio.sleep(max(0.0, started_s + args.seconds / 3 - time.monotonic()))
        memory["a third in"] = rss_mb(server.pid)
        await asyncio.sleep(args.seconds / 6)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        killed.set()
        await asyncio.sleep(max(0.0, end_s - time.monotonic()))
        memory["at the end"] = rss_mb(server.pid)

    await asyncio.gather(events(), *(client(number) for number in range(args.clients)))
    calls = sum(score.counts.values())
    server.send_signal(signal.SIGTERM)
    server.wait(START_S)
    rows = json.loads(stage.mohist("usage", "--by", "user", "--json"))
    counted = next((row["calls"] for row in rows if row.get("user") == "soak"), 0)
    return report(args, score, memory, calls, counted)


def report(args: argparse.Namespace, score: Score, memory: dict[str, float], calls: int, counted: int) -> int:
    print(f"{args.clients} clients, streams of {args.chunks} chunks in {args.stream_seconds:g} s, {args.seconds:g} s")
    for name in ("whole", "broken off, told by an event", "broken off, connection closed", "damaged", "refused"):
        print(f"  {name:32} {score.counts[name]:6}")
    print(f"  {'calls that usage knows':32} {counted:6} of {calls}")
    for name, megabytes in memory.items():
        print(f"  {'memory ' + name:32} {megabytes:6.1f} MB")
    if counted != calls:
        score.faults.append(f"usage knows {counted} of {calls} calls")
    if memory["at the end"] > memory["a third in"] * MAX_GROWTH + SLACK_MB:
        score.faults.append("memory grows")
    if not score.counts["whole"]:
        score.faults.append("no stream came to its end")
    for fault, count in Counter(score.faults).most_common(10):
        print(f"  FAULT ({count}): {fault}")
    print("lost: something" if score.faults else "lost: nothing")
    return 1 if score.faults else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long clients begin new streams (default: 60)")
    parser.add_argument("--clients", type=int, default=100, help="concurrent streams (default: 100)")
    parser.add_argument("--chunks", type=int, default=1000, help="of each stream (default: 1000)")
    parser.add_argument("--stream-seconds", type=float, default=15.0, help="how long a stream takes (default: 15)")
    parser.add_argument("--upstream", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--pause", type=float, default=0.0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.upstream:
        asyncio.run(upstream(args.chunks, args.pause))
        return 0
    with tempfile.TemporaryDirectory(prefix="mohist-soak-") as home:
        stage = Stage(Path(home), args)
        try:
            return asyncio.run(soak(args, stage))
        finally:
            stage.stop()


if __name__ == "__main__":
    sys.exit(main())
