"""A model vendor on loopback that drives a real coding client: it asks for files with the client's own tools.

It speaks the three dialects, streamed or not. Which tool to call, and with what arguments, it reads from the tools
that the request declares, so a client's version does not matter. It takes nothing on trust: keys, roles, order, ids
and the results of its own calls are checked on every request; what does not fit is told as a complaint and answered
with 400, as a vendor does.

    with Vendor(key) as vendor:
        vendor.begin(Script([["a.txt"], ["b.txt", "c.txt"]], planted))
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from fakes.vendor_read import Call, Seen, ShapeError, read_request
from fakes.vendor_write import COUNTED, Spoken, encode, error_body, pieces

PATHS = {
    "/v1/chat/completions": "openai-chat",
    "/v1/responses": "openai-responses",
    "/v1/messages": "anthropic-messages",
    "/v1/messages/count_tokens": "anthropic-messages",
}
SIDE_WORDS = "Planted words"
"""Answer to a call without tools, such as one for a title."""
_READ = ("read", "read_file", "view", "view_file", "cat", "open_file")
_SHELL = (
    "bash",
    "shell",
    "shell_command",
    "exec_command",
    "run_shell_command",
    "local_shell",
    "run_command",
    "execute",
)


@dataclass(slots=True)
class Script:
    """What the vendor does in one run."""

    steps: Sequence[Sequence[Path]]
    """Files asked for, one call each; those of one step are asked for side by side."""
    planted: Mapping[Path, str]
    """The word that a file's result must hold."""
    edits: str = ""
    """For clients without tools: what a call without tools is answered with."""
    foreign: bool = False
    """The client speaks another dialect, so every field of a request was written by the gateway."""

    @property
    def last_words(self) -> str:
        """Names every planted word, so that a client can only print it when all results came through."""
        return "The planted words are: " + ", ".join(self.planted[path] for step in self.steps for path in step) + "."


@dataclass(frozen=True, slots=True)
class Asked:
    """One request and what it was taken for."""

    method: str
    path: str
    dialect: str
    headers: dict[str, str]
    """Lower-case names."""
    body: bytes
    kind: str
    """`call`, `final`, `side`, `count` or `complaint`."""

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


@dataclass(slots=True)
class Run:
    """What happened since `begin`."""

    script: Script
    asked: list[Asked] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    issued: dict[str, Path] = field(default_factory=dict)
    """Call id -> file."""

    def kinds(self) -> list[str]:
        return [one.kind for one in self.asked]

    @property
    def billed(self) -> int:
        """Calls that were answered with usage."""
        return sum(kind in ("call", "final", "side") for kind in self.kinds())


class Vendor:
    """Serves until closed, each request in a thread of its own.

    Args:
        key: the only one it takes, as a bearer token or in `x-api-key`.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.run = Run(Script((), {}))
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def do_POST(self) -> None:
                vendor._post(self)

            def do_GET(self) -> None:
                vendor._unknown(self)

            def do_HEAD(self) -> None:
                vendor._unknown(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(60)

    def begin(self, script: Script) -> Run:
        """Forgets the run before."""
        self.run = Run(script)
        return self.run

    def _unknown(self, handler: BaseHTTPRequestHandler) -> None:
        self._keep(handler, "", b"", "complaint", f"{handler.command} {handler.path} is nothing a gateway asks")
        _send(handler, 404, b"{}")

    def _keep(self, handler: BaseHTTPRequestHandler, dialect: str, body: bytes, kind: str, complaint: str = "") -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        path = handler.path
        self.run.asked.append(Asked(handler.command, path, dialect, headers, body, kind))
        if complaint:
            self.run.complaints.append(f"{dialect}: {complaint}")

    def _post(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        path = handler.path.partition("?")[0]
        dialect = PATHS.get(path, "")
        with self._lock:
            try:
                if not dialect:
                    raise ShapeError(f"nothing is served at {path}")
                self._check_key(handler, dialect)
                if path.endswith("/count_tokens"):
                    self._keep(handler, dialect, body, "count")
                    _send(handler, 200, json.dumps({"input_tokens": COUNTED.prompt}).encode())
                    return
                seen = read_request(dialect, body, self.run.script.foreign)
                spoken = self._answer(seen)
            except ShapeError as error:
                self._keep(handler, dialect, body, "complaint", str(error))
                _send(handler, 400, error_body(dialect, str(error)))
                return
            self._keep(handler, dialect, body, spoken.kind)
        if not seen.stream:
            _send(handler, 200, encode(dialect, spoken, seen))
            return
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for piece in pieces(encode(dialect, spoken, seen)):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            handler.wfile.flush()
        handler.wfile.write(b"0\r\n\r\n")

    def _check_key(self, handler: BaseHTTPRequestHandler, dialect: str) -> None:
        shown = handler.headers.get("x-api-key") if dialect == "anthropic-messages" else None
        shown = shown or handler.headers.get("authorization", "").removeprefix("Bearer ")
        if shown != self.key:
            raise ShapeError("the key is not the vendor's")
        if dialect == "anthropic-messages" and not handler.headers.get("anthropic-version"):
            raise ShapeError("anthropic-version is missing")

    def _answer(self, seen: Seen) -> Spoken:
        run = self.run
        number = next(self._numbers)
        if not seen.tools:
            return Spoken(number, run.script.edits or SIDE_WORDS, (), "side")
        for call_id, text in seen.results.items():
            if call_id not in run.issued:
                raise ShapeError(f"a result has the id {call_id!r}, which no call had")
            word = run.script.planted[run.issued[call_id]]
            if word not in text:
                raise ShapeError(f"the result of {call_id} lacks the planted word: {text[:400]!r}")
        if missing := run.issued.keys() - seen.results.keys():
            raise ShapeError(f"results are missing: {sorted(missing)}")
        done = 0
        for step in run.script.steps:
            if done == len(run.issued):
                calls = tuple(self._call(seen, path) for path in step)
                return Spoken(number, "I look at it.", calls, "call")
            done += len(step)
        return Spoken(number, run.script.last_words, (), "final")

    def _call(self, seen: Seen, path: Path) -> Call:
        call_id = f"call_{next(self._numbers):04d}planted"
        if seen.dialect == "anthropic-messages":
            call_id = call_id.replace("call_", "toolu_")
        self.run.issued[call_id] = path
        name = _tool(seen.tools)
        return Call(call_id, name, json.dumps(_arguments(seen.tools[name], path)))


def _tool(tools: Mapping[str, Mapping[str, Any]]) -> str:
    """The tool that reads a file, or else runs a command."""
    plain = {name.lower(): name for name in tools}
    for wanted in (*_READ, *_SHELL):
        if wanted in plain:
            return plain[wanted]
    raise ShapeError(f"no tool reads files: {sorted(tools)}")


def _arguments(schema: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Arguments that fit the tool's schema and read `path`."""
    fields: Mapping[str, Any] = schema.get("properties", {})
    arguments: dict[str, Any] = {}
    for name, kind in fields.items():
        plain = name.lower().replace("_", "")
        if plain in ("filepath", "absolutepath", "path", "file", "filename"):
            arguments[name] = str(path)
        elif plain in ("command", "cmd", "script"):
            listed = "array" in json.dumps(kind.get("type", ""))
            arguments[name] = ["cat", str(path)] if listed else f"cat '{path}'"
        elif name in schema.get("required", ()):
            arguments[name] = _filler(kind)
    return arguments


def _filler(kind: Mapping[str, Any]) -> Any:
    if "enum" in kind:
        return kind["enum"][0]
    return {"boolean": False, "integer": 1, "number": 1, "array": [], "object": {}}.get(
        str(kind.get("type")), "Read a file"
    )


def _send(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
